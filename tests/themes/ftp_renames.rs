//! RNFR and RNTO: what disarms them, and who may replace a file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use ftpdlib::authorizers::{
    Authorizer, Client as Peer, DummyAuthorizer, LaterVerdict, Perm, Verdict,
};
use ftpdlib::{AuthenticationFailed, FTPConfig};
use testkit::{PASSWORD, Server, USER};

use crate::MODE;

const NO_PRIVILEGES: &str = "550 Not enough privileges.";

/// Gives the user of the tests these permissions.
fn permitted(perm: &'static str) -> impl FnOnce(&mut FTPConfig) + Send {
    move |config| {
        let home = config.authorizer.get_home_dir(USER).unwrap();
        let authorizer = DummyAuthorizer::new();
        authorizer.add_user(USER, PASSWORD, home, perm).unwrap();
        config.set_authorizer(authorizer);
    }
}

#[test]
fn a_refused_rnfr_disarms() {
    let server = Server::start(MODE);
    server.write("a", "abc");
    symlink("/", server.path("out")).unwrap();
    let mut client = server.login();
    for (refused, code) in [
        ("RNFR missing", 550),
        ("RNFR missing/x", 550),
        ("RNFR /", 550),
        ("RNFR", 501),
        ("RNFR x\0", 550),
        ("RNFR out/etc", 550),
        ("rnfr missing", 550),
    ] {
        client.expect(350, "RNFR a");
        client.expect(code, refused);
        client.expect(503, "RNTO b");
        assert!(server.path("a").exists() && !server.path("b").exists());
    }
    // It also disarms for other reasons.
    for other in ["REIN", "USER"] {
        client.expect(350, "RNFR a");
        if other == "REIN" {
            client.expect(230, "REIN");
        }
        client.login(USER, PASSWORD);
        client.expect(503, "RNTO b");
    }
    // Only the last one counts.
    server.write("c", "");
    client.expect(350, "RNFR a");
    client.expect(350, "RNFR c");
    client.expect(250, "RNTO d");
    client.expect(503, "RNTO e");
    assert!(server.path("a").exists() && server.path("d").exists());
}

#[test]
fn a_rnfr_without_permission_disarms() {
    let server = Server::with(MODE, |config| {
        let home = config.authorizer.get_home_dir(USER).unwrap();
        fs::create_dir(home.join("dir")).unwrap();
        fs::write(home.join("dir/x"), "").unwrap();
        let authorizer = DummyAuthorizer::new();
        authorizer.add_user(USER, PASSWORD, &home, "elrf").unwrap();
        authorizer
            .override_perm(USER, home.join("dir"), "elr", true)
            .unwrap();
        config.set_authorizer(authorizer);
    });
    server.write("a", "");
    let mut client = server.login();
    client.expect(350, "RNFR a");
    assert_eq!(client.expect(550, "RNFR dir/x"), NO_PRIVILEGES);
    client.expect(503, "RNTO b");
}

#[test]
fn to_replace_a_file_takes_the_permission_to_delete_it() {
    for (perm, may) in [("elrf", false), ("elrfwa", false), ("elrdf", true)] {
        let server = Server::with(MODE, permitted(perm));
        let mut client = server.login();
        fs::create_dir(server.path("dir")).unwrap();
        fs::create_dir(server.path("empty")).unwrap();
        fs::create_dir(server.path("other")).unwrap();
        fs::create_dir(server.path("here")).unwrap();
        server.write("dir/file", "file");
        symlink("nowhere", server.path("dangling")).unwrap();
        symlink("dir", server.path("link")).unwrap();
        for target in [
            "precious",
            "dir/file",
            "link/file",
            "dangling",
            "/./precious",
        ] {
            server.write("precious", "precious");
            server.write("a", "a");
            client.expect(350, "RNFR a");
            let reply = client.command(format!("RNTO {target}"));
            if may {
                assert_eq!(reply.0, 250, "{target}");
                assert!(!server.path("a").exists());
            } else {
                assert_eq!(reply.1, NO_PRIVILEGES, "{target}");
                assert_eq!(server.read("a"), b"a");
                assert_eq!(server.read("precious"), b"precious");
                assert_eq!(server.read("dir/file"), b"file");
                assert!(server.path("dangling").is_symlink());
            }
        }
        // Directories, too.
        client.expect(350, "RNFR empty");
        let reply = client.command("RNTO other");
        assert_eq!(reply.0 == 250, may, "{}", reply.1);
        if !may {
            assert_eq!(reply.1, NO_PRIVILEGES);
            assert!(server.path("empty").is_dir());
            client.expect(350, "RNFR link");
            assert_eq!(client.expect(550, "RNTO precious"), NO_PRIVILEGES);
        }
        // A new name takes no more than `f`.
        for (from, to) in [("here", "there"), ("dir", "new"), ("new/file", "file")] {
            client.expect(350, format!("RNFR {from}"));
            client.expect(250, format!("RNTO {to}"));
        }
        assert!(server.path("there").is_dir() && server.path("file").is_file());
    }
}

/// The same name is not another file that would be replaced.
#[test]
fn the_same_name_once_more() {
    let server = Server::with(MODE, permitted("elrf"));
    fs::create_dir(server.path("dir")).unwrap();
    symlink("dir", server.path("link")).unwrap();
    symlink("dir/a", server.path("to-a")).unwrap();
    server.write("dir/a", "abc");
    let mut client = server.login();
    for to in ["dir/a", "link/a", "/dir/./a", "dir/A", "dir/a"] {
        let from = if server.path("dir/A").exists() {
            "dir/A"
        } else {
            "dir/a"
        };
        client.expect(350, format!("RNFR {from}"));
        client.expect(250, format!("RNTO {to}"));
    }
    assert_eq!(server.read("dir/a"), b"abc");
    client.expect(350, "RNFR dir");
    client.expect(250, "RNTO dir");
    // The link is another entry, and so is a second hard link.
    client.expect(350, "RNFR dir/a");
    assert_eq!(client.expect(550, "RNTO to-a"), NO_PRIVILEGES);
    fs::hard_link(server.path("dir/a"), server.path("hard")).unwrap();
    client.expect(350, "RNFR dir/a");
    assert_eq!(client.expect(550, "RNTO hard"), NO_PRIVILEGES);
    assert!(server.path("dir/a").exists() && server.path("hard").exists());
}

/// Takes permissions away between RNFR and RNTO.
struct Fickle {
    inner: DummyAuthorizer,
    refuses: Arc<AtomicBool>,
}

impl Authorizer for Fickle {
    fn authenticate(
        &self,
        username: &str,
        password: &str,
        client: &Peer<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        self.inner.authenticate(username, password, client, later)
    }

    fn get_home_dir(&self, username: &str) -> Result<std::path::PathBuf, AuthenticationFailed> {
        self.inner.get_home_dir(username)
    }

    fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
        let source = path.is_some_and(|path| path.ends_with("source"));
        let refused = source && self.refuses.load(SeqCst);
        !refused && self.inner.has_perm(username, perm, path)
    }

    fn get_perms(&self, username: &str) -> ftpdlib::authorizers::Perms {
        self.inner.get_perms(username)
    }

    fn get_msg_login(&self, username: &str) -> String {
        self.inner.get_msg_login(username)
    }

    fn get_msg_quit(&self, username: &str) -> String {
        self.inner.get_msg_quit(username)
    }
}

#[test]
fn the_old_name_is_checked_again() {
    let refuses = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&refuses);
    let server = Server::with(MODE, move |config| {
        let home = config.authorizer.get_home_dir(USER).unwrap();
        let inner = DummyAuthorizer::new();
        inner.add_user(USER, PASSWORD, home, "elradfmw").unwrap();
        config.set_authorizer(Fickle { inner, refuses });
    });
    server.write("source", "abc");
    let mut client = server.login();
    client.expect(350, "RNFR source");
    switch.store(true, SeqCst);
    assert_eq!(client.expect(550, "RNTO target"), NO_PRIVILEGES);
    switch.store(false, SeqCst);
    client.expect(503, "RNTO target");
    client.expect(350, "RNFR source");
    client.expect(250, "RNTO target");
    assert_eq!(server.read("target"), b"abc");
}

/// However the files appear and disappear: a user without `d` replaces none of them.
#[test]
fn no_file_is_replaced_in_a_race() {
    let server = Server::with(MODE, permitted("elrf"));
    let mut client = server.login();
    let target = server.path("target");
    let done = Arc::new(AtomicBool::new(false));
    let (stop, path) = (Arc::clone(&done), target.clone());
    let rival = thread::spawn(move || {
        let (mut made, mut lost) = (0, 0);
        while !stop.load(SeqCst) {
            if fs::File::create_new(&path).is_ok() {
                made += 1;
                fs::write(&path, "rival").unwrap();
                if fs::read(&path).unwrap() != b"rival" {
                    lost += 1;
                }
                fs::remove_file(&path).unwrap();
            } else {
                // It is the one that was renamed.
                let _ = fs::remove_file(&path);
            }
        }
        (made, lost)
    });
    for _ in 0..300 {
        server.write("a", "mine");
        client.expect(350, "RNFR a");
        let code = client.command("RNTO target").0;
        assert!(matches!(code, 250 | 550), "{code}");
    }
    done.store(true, SeqCst);
    let (made, lost) = rival.join().unwrap();
    assert!(made > 0);
    assert_eq!(lost, 0);
}

/// After any refusal, the client may try another new name: the old one is still the same.
#[test]
fn a_refused_rnto_leaves_the_old_name() {
    let server = Server::start(MODE);
    let mut client = server.login();
    fs::create_dir(server.path("d")).unwrap();
    server.write("a", "a");
    for (code, refused) in [
        (501, "RNTO"),
        (553, "RNTO z/"),
        (550, "RNTO a\0b"),
        (550, "RNTO none/x"),
        (550, "RNTO d"),
        (550, "RNTO a/b"),
    ] {
        client.expect(350, "RNFR a");
        client.expect(code, refused);
        client.expect(250, "RNTO z");
        client.expect(503, "RNTO z");
        client.expect(350, "RNFR z");
        client.expect(250, "RNTO a");
    }
    assert_eq!(server.read("a"), b"a");
}
