//! The model judges right: it accepts what pyftpdlib does, and rejects what it must not do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{By, Callback, Damage, Disk, Event, FaultKind, Model, Remains, Verdict};
use crate::plan::draw::Draw;
use crate::plan::scene::{Home, Kind, Node, Scene, Tree};
use crate::plan::step::{Client, End, Pace, Temper};
use crate::plan::surroundings;

/// A disk that the test changes by hand.
pub struct ByHand(pub Tree);

impl Disk for ByHand {
    fn tree(&self, home: usize) -> Tree {
        match home {
            0 => self.0.clone(),
            _ => Tree::new(),
        }
    }
}

pub fn file(bytes: &[u8]) -> Node {
    Node {
        kind: Kind::File(bytes.to_vec()),
        mode: 0o644,
        mtime: 1_500_000_000,
    }
}

fn dir() -> Node {
    Node {
        kind: Kind::Dir,
        mode: 0o755,
        mtime: 1_500_000_000,
    }
}

/// A session that is told to the model by hand.
pub struct Play {
    pub model: Model,
    pub disk: ByHand,
    pub now: Duration,
    pub verdict: Verdict,
    /// The client of the next events.
    client: usize,
    /// The last port that was used, and that of each client.
    port: u16,
    ports: [u16; 2],
}

impl Play {
    pub fn new(perms: &str) -> Self {
        Self::of(perms, true)
    }

    fn of(perms: &str, private: bool) -> Self {
        let mut draw = Draw::new(1);
        let mut settings = surroundings::settings(&mut draw, false);
        settings.address = "127.0.0.1:2121".parse().unwrap();
        settings.banner = "ready.".to_owned();
        settings.encoding = crate::plan::scene::Encoding::Utf8;
        settings.timeout = Duration::from_secs(300);
        settings.login_timeout = Duration::from_secs(60);
        settings.passive_timeout = Duration::from_secs(30);
        settings.auth_failed_timeout = Duration::from_secs(3);
        settings.max_login_attempts = 3;
        settings.throttle = (0, 0);
        (settings.max_cons, settings.max_cons_per_ip) = (0, usize::from(private));
        settings.upload_lock = true;
        settings.max_cons_per_user = 0;
        let (mut user, _) = surroundings::user_and_home(&mut draw, 0);
        user.perms = perms.to_owned();
        user.msg_login = "Login successful.".to_owned();
        user.msg_quit = "Goodbye.".to_owned();
        let tree: Tree = BTreeMap::from([
            (b"/a".to_vec(), file(b"one\ntwo\r\n")),
            (b"/d".to_vec(), dir()),
            (b"/d/b".to_vec(), file(b"12345")),
            (
                b"/out".to_vec(),
                Node {
                    kind: Kind::Link(b"/home/1/secret".to_vec()),
                    ..dir()
                },
            ),
        ]);
        let home = Home {
            root: "/home/0".to_owned(),
            tree: tree.clone(),
            private,
            marker: "zqM0x".to_owned(),
        };
        // One that nobody in the test uses.
        let other = Home {
            root: "/home/7".to_owned(),
            tree: Tree::new(),
            private: false,
            marker: "zqM7x".to_owned(),
        };
        let client = |port| Client {
            from: std::net::SocketAddr::from(([10, 0, 0, 1], port)),
            arrives: Duration::ZERO,
            temper: Temper::Orderly,
            pace: Pace::FAST,
            steps: Vec::new(),
        };
        let scene = Scene {
            settings,
            users: vec![user],
            homes: vec![home, other],
            clients: vec![client(4000), client(4001)],
        };
        Self {
            model: Model::new(&scene, 1_700_000_000),
            disk: ByHand(tree),
            now: Duration::from_secs(1),
            verdict: Ok(()),
            client: 0,
            port: 50_000,
            ports: [0; 2],
        }
    }

    pub fn event(&mut self, event: Event<'_>) -> &mut Self {
        self.event_of(self.client, event)
    }

    /// What follows is told of this client.
    pub fn by(&mut self, client: usize) -> &mut Self {
        self.client = client;
        self
    }

    pub fn event_of(&mut self, client: usize, event: Event<'_>) -> &mut Self {
        if self.verdict.is_ok() {
            self.verdict = self.model.event(self.now, client, event, &self.disk);
        }
        self
    }

    pub fn send(&mut self, line: &str) -> &mut Self {
        self.event(Event::Sent(format!("{line}\r\n").as_bytes()))
    }

    pub fn get(&mut self, reply: &str) -> &mut Self {
        self.event(Event::Received(format!("{reply}\r\n").as_bytes()))
    }

    /// Sends a command and gets its reply.
    pub fn both(&mut self, line: &str, reply: &str) -> &mut Self {
        self.send(line).get(reply)
    }

    pub fn call(&mut self, call: Callback) -> &mut Self {
        self.event(Event::Callback(call))
    }

    pub fn log_in(&mut self) -> &mut Self {
        self.event(Event::Connected)
            .call(Callback::Connect)
            .get("220 ready.")
            .both("USER user0", "331 Username ok, send password.")
            .both("PASS secret 0", "230 Login successful.")
            .call(Callback::Login("user0".to_owned()))
            .both("TYPE I", "200 Type set to: Binary.")
    }

    /// PASV, and a data connection that the server has seen.
    pub fn pasv(&mut self) -> &mut Self {
        self.port += 1;
        let (high, low) = (self.port / 256, self.port % 256);
        let port = self.port;
        self.ports[self.client] = port;
        self.both(
            "PASV",
            &format!("227 Entering passive mode (127,0,0,1,{high},{low})."),
        )
        .event(Event::DataOpened {
            conn: u32::from(port),
            passive: true,
            port,
        })
        .event(Event::Quiet)
    }

    pub fn receive(&mut self, bytes: &[u8]) -> &mut Self {
        let conn = u32::from(self.ports[self.client]);
        self.event(Event::DataReceived { conn, bytes })
    }

    pub fn upload(&mut self, bytes: &[u8]) -> &mut Self {
        let conn = u32::from(self.ports[self.client]);
        self.event(Event::DataSent { conn, bytes })
    }

    pub fn data_end(&mut self, by: By) -> &mut Self {
        let conn = u32::from(self.ports[self.client]);
        self.event(Event::DataEnded { conn, by })
    }

    pub fn begin(&mut self, line: &str) -> &mut Self {
        self.both(line, "125 Data connection already open. Transfer starting.")
    }

    pub fn complete(&mut self) -> &mut Self {
        self.get("226 Transfer complete.")
    }

    pub fn later(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    pub fn quit(&mut self) -> &mut Self {
        self.both("QUIT", "221 Goodbye.")
            .call(Callback::Logout("user0".to_owned()))
            .event(Event::Ended(By::Server))
            .call(Callback::Disconnect)
    }

    pub fn end(&mut self) -> &mut Self {
        if self.verdict.is_ok() {
            self.verdict = self.model.end(self.now, Remains::default(), &self.disk);
        }
        self
    }

    #[track_caller]
    pub fn fine(&self) {
        assert_eq!(self.verdict, Ok(()));
    }

    #[track_caller]
    pub fn fault(&self, kind: FaultKind) {
        match &self.verdict {
            Ok(()) => panic!("{kind:?} was not found"),
            Err(fault) => assert_eq!(fault.kind, kind, "{}", fault.text),
        }
    }
}

pub fn full() -> Play {
    let mut play = Play::new("elradfmwMT");
    play.log_in().fine();
    play
}

/// Two clients in one home.
pub fn shared() -> Play {
    let mut play = Play::of("elradfmwMT", false);
    play.log_in().by(1).log_in().by(0).fine();
    play
}

pub fn real(path: &str) -> PathBuf {
    PathBuf::from(format!("/home/0{path}"))
}

/// What this module checks, by name.
pub fn checks() -> Vec<(&'static str, fn())> {
    let mut all: Vec<(&'static str, fn())> = RIGHT.to_vec();
    all.extend(super::wrong::WRONG);
    all
}

/// Sequences that the model must accept.
const RIGHT: &[(&str, fn())] = &[
    ("uploads one after the other in a shared home", || {
        let mut play = shared();
        play.pasv().begin("STOR a").upload(b"new");
        play.disk.0.insert(b"/a".to_vec(), file(b"new"));
        play.data_end(By::Client(End::Fin))
            .complete()
            .by(1)
            .pasv()
            .begin("APPE a")
            .upload(b"er or not")
            .data_end(By::Client(End::Reset));
        play.disk.0.insert(b"/a".to_vec(), file(b"newer"));
        play.get("426 Transfer aborted; 2 bytes transmitted.")
            .by(0)
            .send("DELE d/b");
        play.disk.0.remove(&b"/d/b"[..]);
        play.get("250 File removed.").fine();
    }),
    ("a second upload that is refused, or takes over", || {
        let mut play = shared();
        let busy = "450 Another upload to this file is in progress.";
        play.pasv().begin("STOR a").upload(b"new");
        play.by(1)
            .pasv()
            .both("STOR a", busy)
            .later(10)
            .send("STOR a")
            .by(0)
            .get("426 Transfer aborted; another session uploads this file now.")
            .by(1);
        play.disk.0.insert(b"/a".to_vec(), file(b"b"));
        play.get("125 Data connection already open. Transfer starting.")
            .upload(b"b")
            .data_end(By::Client(End::Half))
            .complete()
            .fine();
    }),
    ("a whole session", || {
        let mut play = full();
        play.pasv()
            .begin("RETR a")
            .receive(b"one\ntwo\r\n")
            .data_end(By::Server)
            .complete()
            .call(Callback::FileSent(real("/a")));
        play.disk.0.insert(b"/new".to_vec(), file(b"x\ny"));
        play.disk.0.get_mut(&b"/new"[..]).unwrap().mtime = 1_700_000_001;
        play.both("TYPE A", "200 Type set to: ASCII.")
            .pasv()
            .begin("STOR new")
            .upload(b"x\r")
            .upload(b"\ny")
            .data_end(By::Client(End::Fin))
            .complete()
            .call(Callback::FileReceived(real("/new")))
            .quit()
            .end()
            .fine();
    }),
    ("a download in TYPE A", || {
        let mut play = full();
        play.both("TYPE A", "200 Type set to: ASCII.")
            .pasv()
            .begin("RETR a")
            .receive(b"one\r\ntwo\r\n")
            .data_end(By::Server)
            .complete()
            .fine();
    }),
    ("REST, and its end with a refused transfer", || {
        let mut play = full();
        play.both("REST 4", "350 Restarting at position 4.")
            .both("RETR none", "550 No such file or directory.")
            .both("REST 4", "350 Restarting at position 4.")
            .pasv()
            .begin("RETR a")
            .receive(b"two\r\n")
            .data_end(By::Server)
            .complete()
            .both("REST 99", "350 Restarting at position 99.")
            .both("RETR a", "554 REST position (99) > file size (9)")
            .fine();
    }),
    ("ABOR of an upload leaves a part", || {
        let mut play = full();
        play.disk.0.insert(b"/a".to_vec(), file(b"ne"));
        play.pasv()
            .begin("STOR a")
            .upload(b"new bytes")
            .send("ABOR")
            .get("426 Transfer aborted via ABOR.")
            .get("226 ABOR command successful.")
            .call(Callback::IncompleteFileReceived(real("/a")))
            .fine();
    }),
    ("a renamed directory moves all that is in it", || {
        let mut play = full();
        play.both("RNFR d", "350 Ready for destination name.")
            .both("RNTO e", "250 Renaming ok.")
            .both("SIZE e/b", "213 5")
            .both("SIZE d/b", "550 /d/b is not retrievable.")
            .fine();
    }),
    ("links that lead out", || {
        let mut play = full();
        let text = "550 '/out' points to a path which is outside the user's root directory.";
        play.both("RETR out", text)
            .both("DELE out", "250 File removed.")
            .fine();
    }),
    (
        "after a fault of the disk anything may be, and then what is there",
        || {
            let mut play = full();
            play.send("MKD x");
            let damage = Damage::Failed {
                operation: "mkdir",
                errno: 5,
            };
            play.model.damage(play.now, 0, b"/x", &damage);
            play.get("550 Input/output error.")
                .both("MKD x", "257 \"/x\" directory created.")
                .fine();
        },
    ),
    ("the time of a refused login", || {
        let mut play = full();
        play.both("REIN", "230 Ready for new user.")
            .call(Callback::Logout("user0".to_owned()))
            .both("USER user0", "331 Username ok, send password.")
            .send("PASS wrong")
            .event(Event::Quiet)
            .later(3)
            .get("530 Authentication failed.")
            .call(Callback::LoginFailed("user0".to_owned()))
            .fine();
    }),
];
