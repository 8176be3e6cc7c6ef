//! A world as pure data, and how a seed makes it.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;

use crate::disk::Harm;
use crate::plan::scene::{Kind, Scene, Tls};
use crate::plan::step::{Data, Step};
use crate::plan::{self, draw::Draw};

/// All that a run depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub scene: Scene,
    /// The network of each client, by its number.
    pub nets: Vec<Net>,
    pub disturbances: Vec<Disturbance>,
    /// What the order of simultaneous events, jobs and the like are drawn from.
    pub schedule: u64,
    /// Percent of the moments at which the server makes a few turns only, and not all that it can.
    pub hurried: u8,
    /// The most bytes that all files have together.
    pub capacity: usize,
    /// The most bytes of a read from a file. Reads may be short at any time, and end between CR
    /// and LF.
    pub reads: usize,
    /// `DTPConfig::ac_in_buffer_size` and `ac_out_buffer_size`.
    pub buffers: (usize, usize),
    /// How many ports `FTPConfig::passive_ports` has; 0: the setting is not used.
    pub ports: u16,
}

/// The network between a client and the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    pub seed: u64,
    /// The longest delay of a piece. Pieces stay in their order.
    pub latency: Duration,
    /// The most bytes of a piece.
    pub piece: usize,
    /// Connections that are reset.
    pub cuts: Vec<Cut>,
    /// The client whose TLS tickets this one uses on its data connections.
    pub thief_of: Option<usize>,
}

/// The reset of a connection when so many bytes have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The control connection is 0, data connections follow in the order in which they are asked
    /// for.
    pub link: usize,
    /// Counts the bytes of the client, or those of the server.
    pub up: bool,
    pub after: u64,
}

/// Something that happens to the server, and not by a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// To the operation of this number in a home.
    Operation {
        home: usize,
        number: usize,
        harm: Harm,
    },
    /// To an FTP path in a home, at a time.
    Change {
        at: Duration,
        home: usize,
        path: Vec<u8>,
        harm: Harm,
    },
    /// The handler of a client panics in the callback of this number.
    Panic { client: usize, callback: usize },
    /// The server drains, and is closed so much later.
    Drain { at: Duration, patience: Duration },
}

impl Net {
    /// A network without delays and faults.
    pub fn perfect(seed: u64) -> Self {
        Self {
            seed,
            latency: Duration::ZERO,
            piece: usize::MAX,
            cuts: Vec::new(),
            thief_of: None,
        }
    }

    fn draw(rng: &mut Rng, clients: usize, tls: bool) -> Self {
        let mut net = Self::perfect(rng.u64(..));
        if rng.u8(..10) < 4 {
            net.latency = Duration::from_micros(*pick(rng, &[0, 1, 100, 20_000, 900_000]));
            net.piece = *pick(rng, &[1, 2, 7, 64, 536, 1460, usize::MAX]);
        }
        if rng.u8(..20) == 0 {
            net.cuts.push(Cut {
                link: rng.usize(..4),
                up: rng.bool(),
                after: skewed(rng, 14),
            });
        }
        if tls && clients > 1 && rng.u8(..5) == 0 {
            net.thief_of = Some(rng.usize(..clients));
        }
        net
    }
}

/// Makes the world of a seed.
pub fn generate(seed: u64) -> Script {
    let mut draw = Draw::new(seed);
    let tls = seed % TLS_EVERY == TLS_EVERY - 1;
    let mut scene = plan::scene(&mut draw, tls);
    let mut rng = Rng::with_seed(seed ^ 0x05ee_d0fa_0417);
    let buffers = (buffer(&mut rng), buffer(&mut rng));
    let reads = *pick(
        &mut rng,
        &[
            usize::MAX,
            usize::MAX,
            usize::MAX,
            usize::MAX,
            4096,
            100,
            7,
            1,
        ],
    );
    if buffers.0.min(buffers.1).min(reads) < 100 {
        shorten(&mut scene);
    }
    let clients = scene.clients.len();
    let has_tls = scene.settings.tls != Tls::Off;
    let perfect = rng.u8(..3) == 0;
    let nets = (0..clients).map(|_| match perfect {
        true => Net::perfect(rng.u64(..)),
        false => Net::draw(&mut rng, clients, has_tls),
    });
    let nets = nets.collect();
    let (capacity, disturbances) = disturb(&mut rng, &scene);
    Script {
        nets,
        disturbances,
        schedule: rng.u64(..),
        hurried: *pick(&mut rng, &[0, 0, 10, 50]),
        capacity,
        reads,
        buffers,
        ports: match may_take_over(&scene) {
            true => 0,
            false => *pick(&mut rng, &[0, 1, 5]),
        },
        scene,
    }
}

/// How many bytes all files may have together, and what happens to the server.
fn disturb(rng: &mut Rng, scene: &Scene) -> (usize, Vec<Disturbance>) {
    let mut capacity = usize::MAX;
    let mut disturbances = Vec::new();
    if rng.u8(..3) == 0 {
        for _ in 0..rng.usize(1..6) {
            disturbances.push(disturbance(rng, scene));
        }
        if rng.u8(..4) == 0 {
            let used: usize =
                scene
                    .homes
                    .iter()
                    .flat_map(|home| home.tree.values())
                    .fold(0, |sum, node| match &node.kind {
                        Kind::File(bytes) => sum + bytes.len(),
                        _ => sum,
                    });
            capacity = used + rng.usize(..20_000);
        }
    }
    if rng.u8(..20) == 0 {
        disturbances.push(Disturbance::Panic {
            client: rng.usize(..scene.clients.len()),
            callback: usize::try_from(skewed(rng, 4)).unwrap_or(0),
        });
    }
    if rng.u8(..30) == 0 {
        disturbances.push(Disturbance::Drain {
            at: time(rng),
            patience: Duration::from_millis(*pick(rng, &[0, 100, 3000, 60_000])),
        });
    }
    (capacity, disturbances)
}

/// Whether a client that connects late to a port of its own may get the data connection of another
/// one, which has the port by now. With few ports that would happen often.
fn may_take_over(scene: &Scene) -> bool {
    let addresses: BTreeSet<_> = scene
        .clients
        .iter()
        .map(|client| client.from.ip())
        .collect();
    scene.settings.permit_foreign || addresses.len() < scene.clients.len()
}

/// The bytes that a data connection moves at once. Small ones split line ends, so TYPE A has to
/// put them together.
fn buffer(rng: &mut Rng) -> usize {
    *pick(rng, &[65_536, 65_536, 65_536, 4096, 100, 7, 2, 1])
}

/// Shortens all contents: with small buffers each byte takes a turn.
fn shorten(scene: &mut Scene) {
    const MOST: usize = 1000;
    for node in scene
        .homes
        .iter_mut()
        .flat_map(|home| home.tree.values_mut())
    {
        if let Kind::File(bytes) = &mut node.kind {
            bytes.truncate(MOST);
        }
    }
    for step in scene
        .clients
        .iter_mut()
        .flat_map(|client| &mut client.steps)
    {
        if let Step::Transfer {
            data: Data::Upload { bytes, .. },
            ..
        } = step
        {
            bytes.truncate(MOST);
        }
    }
}

fn disturbance(rng: &mut Rng, scene: &Scene) -> Disturbance {
    let home = rng.usize(..scene.homes.len());
    if rng.u8(..4) > 0 {
        return Disturbance::Operation {
            home,
            number: usize::try_from(skewed(rng, 9)).unwrap_or(0),
            harm: harm(rng, true),
        };
    }
    let paths: Vec<_> = scene.homes[home].tree.keys().collect();
    let path = match paths.len() {
        0 => b"/".to_vec(),
        many => paths[rng.usize(..many)].clone(),
    };
    Disturbance::Change {
        at: time(rng),
        home,
        path,
        harm: harm(rng, false),
    }
}

fn harm(rng: &mut Rng, of_operation: bool) -> Harm {
    let bytes = |rng: &mut Rng| vec![b'#'; rng.usize(..3000)];
    match rng.u8(if of_operation { 0 } else { 5 }..9) {
        0..=2 => Harm::Fail(*pick(rng, &[libc::EIO, libc::ENOSPC, libc::EACCES])),
        3 | 4 => Harm::Short,
        5 => Harm::Vanish,
        6 => Harm::Replace(bytes(rng)),
        7 => Harm::Grow(bytes(rng)),
        _ => Harm::Shrink(rng.usize(..200)),
    }
}

fn time(rng: &mut Rng) -> Duration {
    Duration::from_millis(skewed(rng, 16))
}

/// A number of less than so many bits: small ones are as frequent as large ones.
fn skewed(rng: &mut Rng, bits: u32) -> u64 {
    let bits = rng.u32(1..bits);
    rng.u64(..1 << bits)
}

fn pick<'a, T>(rng: &mut Rng, all: &'a [T]) -> &'a T {
    &all[rng.usize(..all.len())]
}

/// Handshakes are slow, so few worlds have TLS.
const TLS_EVERY: u64 = 30;
