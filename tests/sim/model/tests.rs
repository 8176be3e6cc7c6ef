//! The model judges right: it accepts what pyftpdlib does, and rejects what it must not do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{By, Callback, Damage, Disk, Event, FaultKind, Model, Remains, Verdict, Work};
use crate::plan::draw::Draw;
use crate::plan::scene::{Home, Kind, Node, Scene, Tree};
use crate::plan::step::{Client, End, Pace, Temper};
use crate::plan::surroundings;

/// A disk that the test changes by hand.
struct ByHand(Tree);

impl Disk for ByHand {
    fn tree(&self, _home: usize) -> Tree {
        self.0.clone()
    }
}

fn file(bytes: &[u8]) -> Node {
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
struct Play {
    model: Model,
    disk: ByHand,
    now: Duration,
    verdict: Verdict,
    /// The expected fault, by the first word of the script that brings it.
    port: u16,
}

impl Play {
    fn new(perms: &str) -> Self {
        let mut draw = Draw::new(1);
        let mut settings = surroundings::settings(&mut draw, false);
        settings.address = "127.0.0.1:2121".parse().unwrap();
        settings.banner = "ready.".to_owned();
        settings.encoding = crate::plan::scene::Encoding::Utf8;
        settings.timeout = Duration::from_secs(300);
        settings.passive_timeout = Duration::from_secs(30);
        settings.auth_failed_timeout = Duration::from_secs(3);
        settings.max_login_attempts = 3;
        settings.throttle = (0, 0);
        (settings.max_cons, settings.max_cons_per_ip) = (0, 1);
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
            private: true,
            marker: "zqM0x".to_owned(),
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
            homes: vec![home],
            clients: vec![client(4000), client(4001)],
        };
        Self {
            model: Model::new(&scene, 1_700_000_000),
            disk: ByHand(tree),
            now: Duration::from_secs(1),
            verdict: Ok(()),
            port: 50_000,
        }
    }

    fn event(&mut self, event: Event<'_>) -> &mut Self {
        self.event_of(0, event)
    }

    fn event_of(&mut self, client: usize, event: Event<'_>) -> &mut Self {
        if self.verdict.is_ok() {
            self.verdict = self.model.event(self.now, client, event, &self.disk);
        }
        self
    }

    fn send(&mut self, line: &str) -> &mut Self {
        self.event(Event::Sent(format!("{line}\r\n").as_bytes()))
    }

    fn get(&mut self, reply: &str) -> &mut Self {
        self.event(Event::Received(format!("{reply}\r\n").as_bytes()))
    }

    /// Sends a command and gets its reply.
    fn both(&mut self, line: &str, reply: &str) -> &mut Self {
        self.send(line).get(reply)
    }

    fn call(&mut self, call: Callback) -> &mut Self {
        self.event(Event::Callback(call))
    }

    fn log_in(&mut self) -> &mut Self {
        self.event(Event::Connected)
            .call(Callback::Connect)
            .get("220 ready.")
            .both("USER user0", "331 Username ok, send password.")
            .both("PASS secret 0", "230 Login successful.")
            .call(Callback::Login("user0".to_owned()))
            .both("TYPE I", "200 Type set to: Binary.")
    }

    /// PASV, and a data connection that the server has seen.
    fn pasv(&mut self) -> &mut Self {
        self.port += 1;
        let (high, low) = (self.port / 256, self.port % 256);
        let port = self.port;
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

    fn receive(&mut self, bytes: &[u8]) -> &mut Self {
        let conn = u32::from(self.port);
        self.event(Event::DataReceived { conn, bytes })
    }

    fn upload(&mut self, bytes: &[u8]) -> &mut Self {
        let conn = u32::from(self.port);
        self.event(Event::DataSent { conn, bytes })
    }

    fn data_end(&mut self, by: By) -> &mut Self {
        let conn = u32::from(self.port);
        self.event(Event::DataEnded { conn, by })
    }

    fn begin(&mut self, line: &str) -> &mut Self {
        self.both(line, "125 Data connection already open. Transfer starting.")
    }

    fn complete(&mut self) -> &mut Self {
        self.get("226 Transfer complete.")
    }

    fn later(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    fn quit(&mut self) -> &mut Self {
        self.both("QUIT", "221 Goodbye.")
            .call(Callback::Logout("user0".to_owned()))
            .event(Event::Ended(By::Server))
            .call(Callback::Disconnect)
    }

    fn end(&mut self) -> &mut Self {
        if self.verdict.is_ok() {
            self.verdict = self.model.end(self.now, Remains::default(), &self.disk);
        }
        self
    }

    #[track_caller]
    fn fine(&self) {
        assert_eq!(self.verdict, Ok(()));
    }

    #[track_caller]
    fn fault(&self, kind: FaultKind) {
        match &self.verdict {
            Ok(()) => panic!("{kind:?} was not found"),
            Err(fault) => assert_eq!(fault.kind, kind, "{}", fault.text),
        }
    }
}

fn full() -> Play {
    let mut play = Play::new("elradfmwMT");
    play.log_in().fine();
    play
}

fn real(path: &str) -> PathBuf {
    PathBuf::from(format!("/home/0{path}"))
}

/// What this module checks, by name.
pub fn checks() -> Vec<(&'static str, fn())> {
    let mut all: Vec<(&'static str, fn())> = RIGHT.to_vec();
    all.extend(WRONG);
    all
}

/// Sequences that the model must accept.
const RIGHT: &[(&str, fn())] = &[
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

/// A sequence that the model must reject.
macro_rules! wrong {
    ($name:literal, $kind:ident, |$play:ident| $body:expr) => {
        ($name, || {
            let mut $play = full();
            let _ = $body;
            $play.fault(FaultKind::$kind);
        })
    };
}

/// The entries of MLSD of `/d`.
const MLSD: &[u8] = b"modify=20170714024000;perm=radfwMT;size=5;type=file;unique=1g2; b\r\n";

const WRONG: &[(&str, fn())] = &[
    wrong!("a wrong code", Code, |play| play.both("NOOP", "500 What?")),
    wrong!("a wrong text", Text, |play| play.both("SIZE a", "213 8")),
    wrong!("two final replies", Unasked, |play| play
        .both("NOOP", "200 I successfully did nothing'.")
        .get("200 I successfully did nothing'.")),
    wrong!("a dropped reply", Missing, |play| play
        .send("NOOP")
        .event(Event::Quiet)),
    wrong!("a reply of another command", Code, |play| play
        .send("NOOP")
        .both("PWD", "257 \"/\" is the current directory.")),
    wrong!("half a line", Form, |play| play
        .event(Event::Received(b"200 x\ry\r\n"))),
    wrong!("a forged line", Form, |play| play.both("NOOP", "200 a\nb")),
    wrong!("no 125 without a connection", Code, |play| play
        .begin("RETR a")),
    wrong!("no 150 with a connection", Code, |play| play.pasv().both(
        "RETR a",
        "150 File status okay. About to open data connection."
    )),
    wrong!("wrong bytes", Data, |play| play
        .pasv()
        .begin("RETR a")
        .receive(b"one\ntWo")),
    wrong!("too many bytes", Data, |play| play
        .pasv()
        .begin("RETR d/b")
        .receive(b"12345")
        .receive(b"6")),
    wrong!("too few bytes", Data, |play| play
        .pasv()
        .begin("RETR d/b")
        .receive(b"123")
        .data_end(By::Server)
        .complete()),
    wrong!("a lost CR", File, |play| {
        play.disk.0.insert(b"/a".to_vec(), file(b"xy"));
        play.both("TYPE A", "200 Type set to: ASCII.")
            .pasv()
            .begin("STOR a")
            .upload(b"x\ry")
            .data_end(By::Client(End::Fin))
            .complete()
    }),
    wrong!("226 before the client has closed", Code, |play| play
        .pasv()
        .begin("STOR a")
        .upload(b"x")
        .complete()),
    wrong!("a mixture of old and new", File, |play| {
        play.disk.0.insert(b"/a".to_vec(), file(b"new\ntwo\r\n"));
        play.pasv()
            .begin("STOR a")
            .upload(b"newer")
            .send("ABOR")
            .get("426 Transfer aborted via ABOR.")
    }),
    wrong!("an early truncation", File, |play| {
        play.disk.0.insert(b"/a".to_vec(), file(b""));
        play.both("PASV", "227 Entering passive mode (127,0,0,1,200,0).")
            .both(
                "STOR a",
                "150 File status okay. About to open data connection.",
            )
            .later(31)
            .get("421 Passive data channel timed out.")
            .call(Callback::IncompleteFileReceived(real("/a")))
            .quit()
            .end()
    }),
    wrong!("426 without a reason", Code, |play| play
        .pasv()
        .begin("RETR a")
        .receive(b"one")
        .get("426 Transfer aborted; 3 bytes transmitted.")),
    wrong!("a time-out that is early", Unasked, |play| play
        .later(200)
        .get("421 Control connection timed out.")),
    wrong!("a missing entry", Listing, |play| play
        .pasv()
        .begin("MLSD d")
        .data_end(By::Server)
        .complete()),
    wrong!("an entry twice", Listing, |play| play
        .pasv()
        .begin("MLSD d")
        .receive(MLSD)
        .receive(MLSD)
        .data_end(By::Server)
        .complete()),
    wrong!("a wrong fact", Listing, |play| play
        .pasv()
        .begin("MLSD d")
        .receive(b"modify=20170714024000;perm=radfwMT;size=6;type=file;unique=1g2; b\r\n")
        .data_end(By::Server)
        .complete()),
    wrong!("an unsorted listing", Listing, |play| play
        .pasv()
        .begin("NLST")
        .receive(b"d\r\na\r\nout\r\n")
        .data_end(By::Server)
        .complete()),
    wrong!("bytes of another home", Secret, |play| play
        .both("STAT none", "550 zqM7x is there.")),
    wrong!("a callback twice", Callback, |play| play
        .pasv()
        .begin("RETR d/b")
        .receive(b"12345")
        .data_end(By::Server)
        .complete()
        .call(Callback::FileSent(real("/d/b")))
        .call(Callback::FileSent(real("/d/b")))
        .quit()
        .end()),
    wrong!("no callback", Callback, |play| play
        .pasv()
        .begin("RETR d/b")
        .receive(b"12345")
        .data_end(By::Server)
        .complete()
        .quit()
        .end()),
    wrong!(
        "a callback of success for an aborted transfer",
        Callback,
        |play| play
            .pasv()
            .begin("RETR a")
            .data_end(By::Client(End::Reset))
            .get("426 Transfer aborted; 0 bytes transmitted.")
            .call(Callback::FileSent(real("/a")))
    ),
    wrong!("no on_logout", Callback, |play| play
        .both("QUIT", "221 Goodbye.")
        .event(Event::Ended(By::Server))
        .call(Callback::Disconnect)
        .end()),
    wrong!("an end without a reason", Connection, |play| play
        .event(Event::Ended(By::Server))),
    wrong!("a refused login without a delay", Code, |play| play
        .both("REIN", "230 Ready for new user.")
        .both("USER user0", "331 Username ok, send password.")
        .both("PASS wrong", "530 Authentication failed.")),
    wrong!("a login with a wrong password", Code, |play| play
        .both("REIN", "230 Ready for new user.")
        .both("USER user0", "331 Username ok, send password.")
        .later(3)
        .both("PASS wrong", "230 Login successful.")),
    wrong!("over the limit of an address", Limit, |play| play
        .event_of(1, Event::Connected)
        .event_of(1, Event::Received(b"220 ready.\r\n"))),
    wrong!("a directory that was not made", Tree, |play| play
        .both("MKD x", "257 \"/x\" directory created.")
        .quit()
        .end()),
    wrong!("a file that was not removed", Tree, |play| play
        .both("DELE a", "250 File removed.")
        .quit()
        .end()),
    wrong!("bytes that changed by themselves", File, |play| {
        play.disk.0.insert(b"/a".to_vec(), file(b"other"));
        play.quit().end()
    }),
    ("a missing privilege that is not refused", || {
        let mut play = Play::new("el");
        play.log_in().both("MKD x", "257 \"/x\" directory created.");
        play.fault(FaultKind::Code);
    }),
    ("a refusal in spite of the privilege", || {
        let mut play = full();
        play.both("MKD x", "550 Not enough privileges.");
        play.fault(FaultKind::Code);
    }),
    ("sockets that remain", || {
        let mut play = full();
        play.quit();
        let remains = Remains {
            sockets: 1,
            ..Remains::default()
        };
        play.verdict = play.model.end(play.now, remains, &play.disk);
        play.fault(FaultKind::Leak);
    }),
    ("a turn beyond its budget", || {
        let mut play = full();
        let work = Work {
            bytes: 100 << 20,
            ..Work::default()
        };
        play.verdict = play.model.turn(work);
        play.fault(FaultKind::Budget);
    }),
];
