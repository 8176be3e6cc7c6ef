//! Sequences that the model must reject.

use super::tests::{Play, file, full, real, shared};
use super::{By, Callback, Damage, Event, FaultKind, Remains, Work};
use crate::plan::step::End;

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

/// The same with two clients in a home.
macro_rules! wrong_together {
    ($name:literal, $kind:ident, |$play:ident| $body:expr) => {
        ($name, || {
            let mut $play = shared();
            let _ = $body;
            $play.fault(FaultKind::$kind);
        })
    };
}

/// The entries of MLSD of `/d`.
const MLSD: &[u8] = b"modify=20170714024000;perm=radfwMT;size=5;type=file;unique=1g2; b\r\n";

pub const WRONG: &[(&str, fn())] = &[
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
    wrong!("226 after an error of the disk", Code, |play| {
        play.pasv().begin("STOR a").upload(b"x");
        let damage = Damage::Failed {
            operation: "close",
            errno: 5,
        };
        play.model.damage(play.now, 0, b"/a", &damage);
        play.data_end(By::Client(End::Fin)).complete()
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
    wrong!("a RNFR that is refused, and stays", Code, |play| play
        .both("RNFR a", "350 Ready for destination name.")
        .both("RNFR none", "550 No such file or directory.")
        .both("RNTO b", "250 Renaming ok.")),
    wrong!("failures that USER forgets", Text, |play| {
        play.both("REIN", "230 Ready for new user.");
        for _ in 0..2 {
            play.both("USER user0", "331 Username ok, send password.");
            play.send("PASS wrong")
                .later(3)
                .get("530 Authentication failed.");
        }
        play.both("USER user0", "331 Username ok, send password.")
            .send("PASS wrong")
            .later(3)
            .get("530 Authentication failed.")
    }),
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
    wrong_together!("two uploads to a file at a time", Code, |play| {
        play.pasv().begin("STOR a").upload(b"new");
        play.by(1).pasv().begin("STOR a").upload(b"b");
        play.disk.0.insert(b"/a".to_vec(), file(b"new"));
        play.by(0).data_end(By::Client(End::Fin)).complete()
    }),
    wrong_together!("a mixture of two uploads", File, |play| {
        play.pasv().begin("STOR a").upload(b"new");
        play.by(1).pasv().begin("APPE a").upload(b"other");
        play.disk.0.insert(b"/a".to_vec(), file(b"newother!"));
        play.data_end(By::Client(End::Reset))
            .get("426 Transfer aborted; 5 bytes transmitted.")
            .by(0)
            .data_end(By::Client(End::Reset))
            .get("426 Transfer aborted; 3 bytes transmitted.")
    }),
    wrong_together!("bytes of APPE with a gap", File, |play| {
        play.disk
            .0
            .insert(b"/a".to_vec(), file(b"one\ntwo\r\nne_w"));
        play.pasv()
            .begin("APPE a")
            .upload(b"new")
            .data_end(By::Client(End::Fin))
            .complete()
    }),
    wrong_together!("an upload that is lost", File, |play| play
        .pasv()
        .begin("STOR a")
        .upload(b"new")
        .data_end(By::Client(End::Fin))
        .complete()),
    wrong_together!("a file of an upload that is not there", Tree, |play| play
        .pasv()
        .begin("STOR new")
        .upload(b"new")
        .data_end(By::Client(End::Fin))
        .complete()),
    wrong_together!("a file that nobody has written", File, |play| {
        play.disk.0.insert(b"/a".to_vec(), file(b"new"));
        play.disk.0.insert(b"/b".to_vec(), file(b"x"));
        play.pasv()
            .begin("STOR a")
            .upload(b"new")
            .data_end(By::Client(End::Fin))
            .complete()
    }),
    wrong_together!("a file that is busy for nobody", Code, |play| play
        .pasv()
        .both("STOR a", "450 Another upload to this file is in progress.")),
    wrong_together!("an upload that is taken over too early", Code, |play| {
        play.pasv().begin("STOR a").upload(b"new");
        play.by(1).send("STOR a").later(9).by(0);
        play.get("426 Transfer aborted; another session uploads this file now.")
    }),
    wrong_together!("an upload that fails without a reason", Code, |play| play
        .pasv()
        .begin("STOR a")
        .upload(b"new")
        .get("426 Transfer aborted; 3 bytes transmitted.")),
    wrong_together!("a wrong reply when nothing else goes on", Text, |play| play
        .both("SIZE a", "213 8")),
    wrong_together!("wrong bytes when nothing else goes on", Data, |play| play
        .pasv()
        .begin("RETR a")
        .receive(b"one\ntWo")),
    wrong_together!("a directory that is not made", Tree, |play| play
        .both("MKD x", "257 \"/x\" directory created.")),
    wrong_together!("a name that nobody has made", Tree, |play| {
        play.disk
            .0
            .insert(b"/x".to_vec(), play.disk.0[&b"/d"[..]].clone());
        play.quit().by(1).quit().end()
    }),
    wrong_together!("a name that nobody has removed", Tree, |play| {
        play.disk.0.remove(&b"/out"[..]);
        play.quit().by(1).quit().end()
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
