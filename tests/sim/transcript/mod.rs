//! A world as a text that can be checked in: one line for each setting, user, file, client, step
//! and disturbance.
//!
//! A line is a word that says what it is, and its parts. `#` begins a comment. The lines of a
//! home or of a client follow it, and are indented.

mod text;

use self::text::{Text, Words, choice, record};
use crate::disk::Harm;
use crate::plan::scene::{Answers, Encoding, Home, Kind, Node, Scene, Settings, Tls, Tree, User};
use crate::plan::step::{Client, Connect, Data, End, Pace, Step, Temper, Way};
use crate::script::{Cut, Disturbance, Net, Script};

record!(Settings {
    address,
    banner,
    timeout,
    login_timeout,
    data_timeout,
    passive_timeout,
    active_timeout,
    auth_failed_timeout,
    max_login_attempts,
    max_cons,
    max_cons_per_ip,
    max_cons_per_user,
    permit_foreign,
    permit_privileged,
    encoding,
    tls,
    throttle,
    authorizer,
    upload_lock,
    tick,
});
record!(User {
    name,
    password,
    home,
    perms,
    msg_login,
    msg_quit,
});
record!(Node { kind, mode, mtime });
record!(Pace { chunk, gap, buffer });
record!(Cut { link, up, after });
choice!(Encoding: [Utf8, Utf8Strict, Latin1] [] []);
choice!(Tls: [Off, On, ControlRequired, AllRequired] [] []);
choice!(Answers: [AtOnce, Job] [Later] []);
choice!(Kind: [Dir] [File, Link] []);
choice!(Temper: [Orderly, Pipelining, Slow, Rude, Cut, Hostile] [] []);
choice!(Way: [Pasv, Epsv, EpsvFamily, Port, Eprt] [] []);
choice!(Connect: [Now, Late, Never] [] []);
choice!(End: [Fin, Reset, Half] [] []);
choice!(Data: [Idle] [] [
    Upload { bytes, pieces, cut, end, eager },
    Download { read, end },
]);
choice!(Step: [Await] [Raw, Pause, CloseData, Close] [
    Command { line, wait },
    Open { way, connect },
    Transfer { line, wait, data },
    Stranger { from, bytes },
]);
choice!(Harm: [Short, Vanish] [Fail, Replace, Grow, Shrink] []);
choice!(Disturbance: [] [] [
    Operation { home, number, harm },
    Change { at, home, path, harm },
    Panic { client, callback },
    Drain { at, patience },
]);

/// Writes a world.
pub fn print(script: &Script) -> String {
    let mut out = String::new();
    let mut line = |indent: &str, what: &str, put: &dyn Fn(&mut Vec<String>)| {
        let mut words = vec![format!("{indent}{what}")];
        put(&mut words);
        out.push_str(&words.join(" "));
        out.push('\n');
    };
    line("", "schedule", &|out| script.schedule.put(out));
    line("", "hurried", &|out| script.hurried.put(out));
    line("", "capacity", &|out| script.capacity.put(out));
    line("", "reads", &|out| script.reads.put(out));
    line("", "buffers", &|out| script.buffers.put(out));
    line("", "ports", &|out| script.ports.put(out));
    let scene = &script.scene;
    line("", "settings", &|out| scene.settings.put(out));
    for home in &scene.homes {
        line("", "home", &|out| {
            home.root.put(out);
            home.private.put(out);
            home.marker.put(out);
        });
        for (path, node) in &home.tree {
            line("  ", "node", &|out| {
                path.put(out);
                node.put(out);
            });
        }
    }
    for user in &scene.users {
        line("", "user", &|out| user.put(out));
    }
    for (client, net) in scene.clients.iter().zip(&script.nets) {
        line("", "client", &|out| {
            client.from.put(out);
            client.arrives.put(out);
            client.temper.put(out);
        });
        line("  ", "pace", &|out| client.pace.put(out));
        line("  ", "net", &|out| {
            net.seed.put(out);
            net.latency.put(out);
            net.piece.put(out);
            net.thief_of.put(out);
        });
        for cut in &net.cuts {
            line("  ", "cut", &|out| cut.put(out));
        }
        for step in &client.steps {
            line("  ", "step", &|out| step.put(out));
        }
    }
    for disturbance in &script.disturbances {
        line("", "disturbance", &|out| disturbance.put(out));
    }
    out
}

/// Reads a world.
///
/// # Errors
/// The number of the line that is wrong, and why.
pub fn parse(text: &str) -> Result<Script, String> {
    let mut reader = Reader::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = Words::new(line);
        let read = reader
            .line(&mut words)
            .and_then(|()| match words.is_empty() {
                true => Ok(()),
                false => Err("there are too many words".to_owned()),
            });
        read.map_err(|err| format!("line {}: {err}", number + 1))?;
    }
    reader.script()
}

struct Reader {
    schedule: u64,
    hurried: u8,
    capacity: usize,
    reads: usize,
    buffers: (usize, usize),
    ports: u16,
    settings: Option<Settings>,
    users: Vec<User>,
    homes: Vec<Home>,
    clients: Vec<Client>,
    nets: Vec<Net>,
    disturbances: Vec<Disturbance>,
}

impl Reader {
    fn new() -> Self {
        Self {
            schedule: 0,
            hurried: 0,
            capacity: usize::MAX,
            reads: usize::MAX,
            buffers: (65_536, 65_536),
            ports: 0,
            settings: None,
            users: Vec::new(),
            homes: Vec::new(),
            clients: Vec::new(),
            nets: Vec::new(),
            disturbances: Vec::new(),
        }
    }

    fn line(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        match words.next()? {
            "schedule" => self.schedule = Text::take(words)?,
            "hurried" => self.hurried = Text::take(words)?,
            "capacity" => self.capacity = Text::take(words)?,
            "reads" => self.reads = Text::take(words)?,
            "buffers" => self.buffers = Text::take(words)?,
            "ports" => self.ports = Text::take(words)?,
            "settings" => self.settings = Some(Text::take(words)?),
            "home" => self.homes.push(Home {
                root: Text::take(words)?,
                private: Text::take(words)?,
                marker: Text::take(words)?,
                tree: Tree::new(),
            }),
            "node" => {
                let home = self.homes.last_mut().ok_or("a node without a home")?;
                home.tree.insert(Text::take(words)?, Text::take(words)?);
            }
            "user" => self.users.push(Text::take(words)?),
            "client" => {
                self.clients.push(Client {
                    from: Text::take(words)?,
                    arrives: Text::take(words)?,
                    temper: Text::take(words)?,
                    pace: Pace::FAST,
                    steps: Vec::new(),
                });
                self.nets.push(Net::perfect(0));
            }
            "disturbance" => self.disturbances.push(Text::take(words)?),
            part => return self.part_of_client(part, words),
        }
        Ok(())
    }

    fn part_of_client(&mut self, part: &str, words: &mut Words<'_>) -> Result<(), String> {
        let (Some(client), Some(net)) = (self.clients.last_mut(), self.nets.last_mut()) else {
            return Err(format!("{part} without a client"));
        };
        match part {
            "pace" => client.pace = Text::take(words)?,
            "net" => {
                net.seed = Text::take(words)?;
                net.latency = Text::take(words)?;
                net.piece = Text::take(words)?;
                net.thief_of = Text::take(words)?;
            }
            "cut" => net.cuts.push(Text::take(words)?),
            "step" => client.steps.push(Text::take(words)?),
            other => return Err(format!("{other} is not known")),
        }
        Ok(())
    }

    fn script(self) -> Result<Script, String> {
        Ok(Script {
            scene: Scene {
                settings: self.settings.ok_or("there are no settings")?,
                users: self.users,
                homes: self.homes,
                clients: self.clients,
            },
            nets: self.nets,
            disturbances: self.disturbances,
            schedule: self.schedule,
            hurried: self.hurried,
            capacity: self.capacity,
            reads: self.reads,
            buffers: self.buffers,
            ports: self.ports,
        })
    }
}

pub fn checks() -> Vec<(&'static str, fn())> {
    vec![("transcripts are read back", read_back)]
}

fn read_back() {
    for seed in 0..50 {
        let script = crate::script::generate(seed);
        let text = print(&script);
        assert_eq!(parse(&text).as_ref(), Ok(&script), "seed {seed}: {text}");
    }
    assert_eq!(
        parse("schedule 1\nschedule x").unwrap_err(),
        "line 2: x is no number"
    );
    assert_eq!(
        parse("user name \"x").unwrap_err(),
        "line 1: a quote is missing"
    );
    assert_eq!(
        parse("step Await").unwrap_err(),
        "line 1: step without a client"
    );
}
