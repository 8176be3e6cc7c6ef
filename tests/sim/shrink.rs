//! Makes a world that fails as small as possible: delta debugging.

use std::time::{Duration, Instant};

use crate::plan::scene::{Answers, Encoding, Kind, Settings, Tls, Tree};
use crate::plan::step::{Data, Pace, Step, Temper};
use crate::script::{Net, Script};
use crate::smoke;
use crate::world::{Failure, run};

/// Shrinks a world, for that time at most. What remains fails in the same way.
pub fn shrink(script: Script, failure: Failure, time: Duration) -> (Script, Failure) {
    let mut shrinker = Shrinker {
        best: script,
        failure,
        end: Instant::now() + time,
    };
    while shrinker.pass() && !shrinker.is_late() {}
    (shrinker.best, shrinker.failure)
}

struct Shrinker {
    best: Script,
    failure: Failure,
    end: Instant,
}

impl Shrinker {
    fn is_late(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Takes a smaller world if it fails in the same way.
    fn take(&mut self, candidate: Script) -> bool {
        if self.is_late() || candidate == self.best || candidate.scene.clients.is_empty() {
            return false;
        }
        match run(&candidate, false) {
            Err(failure) if failure.kind == self.failure.kind => {
                self.best = candidate;
                self.failure = failure;
                true
            }
            _ => false,
        }
    }

    /// Tries a change.
    fn change(&mut self, change: impl FnOnce(&mut Script)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.take(candidate)
    }

    /// Tries everything once. Returns whether anything has become smaller.
    fn pass(&mut self) -> bool {
        let mut any = self.clients();
        any |= self.remove(
            |x| x.disturbances.len(),
            |x, range| {
                x.disturbances.drain(range);
            },
        );
        for client in 0..self.best.scene.clients.len() {
            any |= self.remove(
                |x| x.scene.clients[client].steps.len(),
                |x, range| {
                    x.scene.clients[client].steps.drain(range);
                },
            );
            any |= self.client(client);
        }
        any |= self.settings();
        any |= self.change(|x| x.hurried = 0);
        any |= self.change(|x| x.capacity = usize::MAX);
        any |= self.change(|x| x.reads = usize::MAX);
        any |= self.change(|x| x.schedule = 1);
        any |= self.change(|x| x.buffers = (65_536, 65_536));
        any |= self.change(|x| x.ports = 0);
        any |= self.trees();
        any |= self.remove(
            |x| x.scene.users.len(),
            |x, range| {
                x.scene.users.drain(range);
            },
        );
        any
    }

    /// Removes parts of a list: halves first, single ones last.
    fn remove(
        &mut self,
        len: impl Fn(&Script) -> usize,
        drain: impl Fn(&mut Script, std::ops::Range<usize>),
    ) -> bool {
        let mut any = false;
        let mut size = len(&self.best).div_ceil(2);
        while size > 0 {
            let mut start = 0;
            while start < len(&self.best) {
                let end = (start + size).min(len(&self.best));
                match self.change(|x| drain(x, start..end)) {
                    true => any = true,
                    false => start = end,
                }
                if self.is_late() {
                    return any;
                }
            }
            size /= 2;
        }
        any
    }

    fn clients(&mut self) -> bool {
        self.remove(
            |x| x.scene.clients.len(),
            |x, range| {
                x.scene.clients.drain(range.clone());
                x.nets.drain(range.clone());
                for net in &mut x.nets {
                    net.thief_of = net.thief_of.and_then(|other| match other {
                        other if other < range.start => Some(other),
                        other if other >= range.end => Some(other - range.len()),
                        _ => None,
                    });
                }
            },
        )
    }

    /// Makes a client simpler.
    fn client(&mut self, number: usize) -> bool {
        let net = Net::perfect(self.best.nets[number].seed);
        let mut any = self.change(|x| x.nets[number] = net);
        any |= self.change(|x| x.nets[number].cuts.clear());
        any |= self.change(|x| x.nets[number].latency = Duration::ZERO);
        any |= self.change(|x| x.nets[number].piece = usize::MAX);
        any |= self.change(|x| x.nets[number].thief_of = None);
        any |= self.change(|x| x.scene.clients[number].pace = Pace::FAST);
        any |= self.change(|x| x.scene.clients[number].temper = Temper::Orderly);
        any |= self.change(|x| x.scene.clients[number].arrives = Duration::ZERO);
        for step in 0..self.best.scene.clients[number].steps.len() {
            any |= self.step(number, step);
        }
        any
    }

    /// Makes a step simpler.
    fn step(&mut self, client: usize, number: usize) -> bool {
        let mut any = false;
        for simpler in simpler_steps(&self.best.scene.clients[client].steps[number]) {
            any |= self.change(|x| x.scene.clients[client].steps[number] = simpler);
        }
        any
    }

    /// Gives settings their defaults, one after the other.
    fn settings(&mut self) -> bool {
        let usual = smoke::settings();
        let changes: [&dyn Fn(&mut Settings); 18] = [
            &|x| x.banner.clone_from(&usual.banner),
            &|x| x.timeout = usual.timeout,
            &|x| x.login_timeout = usual.login_timeout,
            &|x| x.data_timeout = usual.data_timeout,
            &|x| x.passive_timeout = usual.passive_timeout,
            &|x| x.active_timeout = usual.active_timeout,
            &|x| x.auth_failed_timeout = usual.auth_failed_timeout,
            &|x| x.max_login_attempts = usual.max_login_attempts,
            &|x| x.max_cons = usual.max_cons,
            &|x| x.max_cons_per_ip = usual.max_cons_per_ip,
            &|x| x.max_cons_per_user = usual.max_cons_per_user,
            &|x| x.permit_foreign = usual.permit_foreign,
            &|x| x.permit_privileged = usual.permit_privileged,
            &|x| x.encoding = Encoding::Utf8,
            &|x| x.tls = Tls::Off,
            &|x| x.throttle = (0, 0),
            &|x| x.authorizer = Answers::AtOnce,
            &|x| x.tick = Duration::ZERO,
        ];
        let mut any = false;
        for change in changes {
            any |= self.change(|x| change(&mut x.scene.settings));
        }
        any
    }

    /// Removes files, with all that is below them.
    fn trees(&mut self) -> bool {
        let mut any = false;
        for home in 0..self.best.scene.homes.len() {
            any |= self.change(|x| x.scene.homes[home].tree = Tree::new());
            let paths: Vec<Vec<u8>> = self.best.scene.homes[home].tree.keys().cloned().collect();
            for path in paths {
                let below = [&path, b"/".as_slice()].concat();
                any |= self.change(|x| {
                    let tree = &mut x.scene.homes[home].tree;
                    tree.retain(|other, _| *other != path && !other.starts_with(&below));
                });
                any |= self.change(|x| {
                    if let Some(node) = x.scene.homes[home].tree.get_mut(&path)
                        && let Kind::File(bytes) = &mut node.kind
                    {
                        bytes.truncate(bytes.len() / 2);
                    }
                });
            }
        }
        any
    }
}

/// Steps that are simpler than this one.
fn simpler_steps(step: &Step) -> Vec<Step> {
    let mut all = Vec::new();
    match step {
        Step::Command { line, wait: false } => all.push(Step::Command {
            line: line.clone(),
            wait: true,
        }),
        Step::Raw(bytes) if bytes.len() > 1 => {
            all.push(Step::Raw(bytes[..bytes.len() / 2].to_vec()));
            all.push(Step::Raw(bytes[bytes.len() / 2..].to_vec()));
        }
        Step::Pause(time) if *time > Duration::from_secs(1) => {
            all.push(Step::Pause(Duration::from_secs(1)));
        }
        Step::Transfer { line, data, .. } => {
            for data in simpler_data(data) {
                all.push(Step::Transfer {
                    line: line.clone(),
                    wait: true,
                    data,
                });
            }
        }
        _ => {}
    }
    all
}

fn simpler_data(data: &Data) -> Vec<Data> {
    let mut all = vec![data.clone()];
    let Data::Upload {
        bytes,
        pieces,
        cut,
        end,
        eager,
    } = data
    else {
        return all;
    };
    let upload = |bytes: &[u8], pieces: &[usize], cut: Option<usize>| Data::Upload {
        bytes: bytes.to_vec(),
        pieces: pieces.to_vec(),
        cut,
        end: *end,
        eager: *eager,
    };
    all.push(upload(bytes, &[], *cut));
    all.push(upload(bytes, pieces, None));
    for size in [0, 1, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        all.push(upload(&bytes[..size.min(bytes.len())], pieces, *cut));
    }
    all
}

pub fn checks() -> Vec<(&'static str, fn())> {
    vec![("shrink: what does not matter goes", goes)]
}

/// A world that panics for a reason of its own is left with one client and no steps.
fn goes() {
    let mut script = smoke::script(smoke::steps());
    let client = script.scene.clients[0].clone();
    let mut other = client.clone();
    other.from.set_port(40_001);
    script.scene.clients.push(other);
    script.nets.push(Net::perfect(2));
    // There is no such home: the authorizer panics when the world begins.
    script.scene.users[0].home = 3;
    let failure = run(&script, false).unwrap_err();
    let (small, failure) = shrink(script, failure, Duration::from_secs(10));
    assert_eq!(failure.kind, crate::world::Kind::Panic);
    assert_eq!(small.scene.clients.len(), 1);
    assert_eq!(small.scene.clients[0].steps, []);
}
