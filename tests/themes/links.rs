//! Links that lead nowhere, outside or in a circle; names that look like patterns; modes and times
//! in listings.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use testkit::{Server, USER};

use crate::MODE;

/// Links that lead nowhere that a client may go.
const LINKS: [&str; 6] = ["gone", "gonedir", "out", "outdir", "loop", "deep"];

/// A server with [`LINKS`] in `dir`, and the directory outside that some of them lead to.
fn with_links() -> (Server, tempfile::TempDir) {
    let server = Server::start(MODE);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"SECRET").unwrap();
    fs::create_dir(server.path("dir")).unwrap();
    let link = |target: &Path, name: &str| {
        symlink(target, server.path("dir").join(name)).unwrap();
    };
    link(Path::new("nowhere"), "gone");
    link(Path::new("../no/where"), "gonedir");
    link(&outside.path().join("secret"), "out");
    link(outside.path(), "outdir");
    link(Path::new("loop"), "loop");
    link(Path::new("outdir/secret"), "deep");
    (server, outside)
}

#[test]
fn links_that_lead_nowhere_are_shown_without_their_target() {
    let (server, outside) = with_links();
    server.write("dir/file", "abc");
    symlink("file", server.path("dir/in")).unwrap();
    let mut client = server.login();
    let mut lines = client.lines("MLSD dir");
    lines.sort_by(|a, b| a.rsplit(' ').next().cmp(&b.rsplit(' ').next()));
    assert_eq!(lines.len(), LINKS.len() + 2, "{lines:?}");
    for line in &lines {
        let name = line.rsplit(' ').next().unwrap();
        let is_link = LINKS.contains(&name);
        assert_eq!(line.contains("type=OS.unix=symlink;"), is_link, "{line}");
        assert_eq!(line.contains("perm=df;"), is_link, "{line}");
        let outside = outside.path().to_str().unwrap();
        assert!(!line.contains(outside) && !line.contains("->"), "{line}");
    }
    // Facts that the client chooses.
    client.expect(200, "OPTS MLST type;unix.mode;");
    for line in client.lines("MLSD dir") {
        let (facts, name) = line.split_once(' ').unwrap();
        if LINKS.contains(&name) {
            assert_eq!(facts, "type=OS.unix=symlink;unix.mode=0777;");
        }
        let reply = client.expect(250, format!("MLST dir/{name}"));
        assert!(reply.contains(&format!(" {facts} /dir/{name}")), "{reply}");
    }
    let mut names = client.lines("NLST dir");
    names.retain(|name| LINKS.contains(&name.as_str()));
    assert_eq!(names.len(), LINKS.len());
    let lines = client.lines("LIST dir");
    assert_eq!(lines.iter().filter(|line| line.starts_with('l')).count(), 7);
    assert!(lines.iter().any(|line| line.ends_with(" gone -> nowhere")));
}

#[test]
fn links_that_lead_nowhere_can_be_renamed_and_deleted() {
    let (server, outside) = with_links();
    let mut client = server.login();
    for name in LINKS {
        // In another directory a relative link leads elsewhere.
        client.expect(350, format!("RNFR dir/{name}"));
        client.expect(250, format!("RNTO dir/{name}.new"));
        assert!(server.path(&format!("dir/{name}.new")).is_symlink());
    }
    // A link that has the new name is replaced, and not followed.
    server.write("file", "abc");
    client.expect(350, "RNFR file");
    client.expect(250, "RNTO dir/out.new");
    assert_eq!(server.read("dir/out.new"), b"abc");
    client.expect(250, "CWD dir");
    for name in LINKS {
        client.expect(250, format!("DELE {name}.new"));
    }
    client.expect(250, "CDUP");
    client.expect(250, "RMD dir");
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"SECRET");
}

/// The permissions are those of the name.
#[test]
fn links_need_permissions_as_files_do() {
    let (server, _outside) = with_links();
    let reader = || {
        let home = server.path("dir");
        let server = Server::with(MODE, move |config| {
            let users = ftpdlib::authorizers::DummyAuthorizer::new();
            users
                .add_user(USER, testkit::PASSWORD, &home, "elr")
                .unwrap();
            config.set_authorizer(users);
        });
        let client = server.login();
        (server, client)
    };
    let (_reader, mut client) = reader();
    for name in LINKS {
        let reply = client.expect(550, format!("DELE {name}"));
        assert_eq!(reply, "550 Not enough privileges.");
        client.expect(550, format!("RNFR {name}"));
        let reply = client.expect(250, format!("MLST {name}"));
        assert!(reply.contains("perm=;"), "{reply}");
    }
}

/// What needs the target is refused, and no reply names another path than that of the client.
#[test]
fn replies_name_the_link() {
    let (server, _outside) = with_links();
    let mut client = server.login();
    client.expect(250, "CWD dir");
    for name in LINKS {
        for command in [
            "SIZE",
            "MDTM",
            "RETR",
            "CWD",
            "MFMT 20200101000000",
            "STOR x/",
            "APPE",
        ] {
            if matches!((name, command), ("gone" | "gonedir", "APPE")) {
                continue;
            }
            let (code, reply) = client.command(format!("{command} {name}"));
            assert!(matches!(code, 550 | 553), "{command} {name}: {reply}");
            assert!(!reply.contains("'/'") && !reply.contains(" / "), "{reply}");
        }
    }
    for name in ["out", "outdir", "deep"] {
        for command in [
            "RETR",
            "SIZE",
            "LIST",
            "NLST",
            "STAT",
            "MLSD",
            "STOR",
            "SITE CHMOD 600",
        ] {
            let reply = client.expect(550, format!("{command} {name}"));
            assert_eq!(
                reply,
                format!(
                    "550 '/dir/{name}' points to a path which is outside the user's root directory."
                )
            );
        }
    }
    let reply = client.expect(550, "DELE outdir/secret");
    assert!(
        reply.starts_with("550 '/dir/outdir/secret' points to "),
        "{reply}"
    );
}

/// A link to the home is not the home.
#[test]
fn a_link_to_the_home_has_a_name_of_its_own() {
    let server = Server::start(MODE);
    symlink(".", server.path("here")).unwrap();
    let mut client = server.login();
    assert_eq!(client.expect(550, "RMD here"), "550 Not a directory.");
    client.expect(350, "RNFR here");
    client.expect(250, "RNTO there");
    client.expect(250, "DELE there");
    client.expect(550, "RNFR /");
    client.expect(550, "RMD /");
}

/// A name that exists is no pattern.
#[test]
fn names_that_look_like_patterns_are_listed() {
    let server = Server::start(MODE);
    for name in ["[a]", "a*b", "c?d", "a", "axb"] {
        server.write(name, name);
    }
    fs::create_dir(server.path("[dir]")).unwrap();
    server.write("[dir]/f[1]", "");
    symlink("nowhere", server.path("l[1]")).unwrap();
    let mut client = server.login();
    for name in ["[a]", "a*b", "c?d", "[dir]/f[1]", "l[1]"] {
        let last = name.rsplit('/').next().unwrap();
        let is_it = |line: &str| line.contains(&format!(" {last}"));
        let reply = client.expect(213, format!("STAT {name}"));
        assert!(reply.lines().count() == 3 && is_it(&reply), "{reply}");
        let lines = client.lines(format!("LIST {name}"));
        assert!(lines.len() == 1 && is_it(&lines[0]), "{lines:?}");
        assert_eq!(client.lines(format!("NLST {name}")), [last]);
        client.expect(250, format!("MLST {name}"));
    }
    let reply = client.expect(213, "STAT -l [dir]");
    assert!(reply.contains(" f[1]"), "{reply}");
    assert_eq!(client.lines("NLST [dir]"), ["f[1]"]);
    // Without such a name, STAT knows no patterns.
    for pattern in ["[b]", "*", "a?b*", "[dir]/*"] {
        let reply = client.expect(550, format!("STAT {pattern}"));
        assert_eq!(reply, "550 Globbing not supported.");
    }
    assert_eq!(client.lines("NLST a?b").len(), 2);
}

#[test]
fn modes_are_octal_numbers() {
    let server = Server::start(MODE);
    let modes = [
        ("a", 0o640),
        ("b", 0o4755),
        ("c", 0o000),
        ("d", 0o2770),
        ("e", 0o1777),
    ];
    for (name, mode) in modes {
        let path = server.write(name, "");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut client = server.login();
    client.expect(200, "OPTS MLST unix.mode;");
    let mut lines = client.lines("MLSD");
    lines.sort_by(|a, b| a.rsplit(' ').next().cmp(&b.rsplit(' ').next()));
    let expected =
        ["0640", "04755", "0000", "02770", "01777"].map(|mode| format!("unix.mode={mode};"));
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.starts_with(expected), "{line}");
    }
    let reply = client.expect(250, "MLST a");
    assert!(reply.contains("unix.mode=0640;"), "{reply}");
}

/// The time columns of LIST and of STAT are those of the `ls` of the machine. (The unit tests have
/// more times.)
#[test]
fn times_are_those_of_ls() {
    let server = Server::start(MODE);
    let now = std::time::SystemTime::now();
    let days = [0, 1, 9, 179, 181, 183, 365, 4000];
    for (i, days) in days.into_iter().enumerate() {
        let path = server.write(&format!("f{i}"), "");
        let time = now - std::time::Duration::from_secs(days * 86_400);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }
    let path = server.write("future", "");
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(now + std::time::Duration::from_secs(90_000))
        .unwrap();
    let mut ls = Command::new("ls");
    ls.args(["-n", "--time-style=locale"])
        .arg(server.home.path());
    ls.env("LC_ALL", "C").env("TZ", "UTC0");
    let text = String::from_utf8(ls.output().unwrap().stdout).unwrap();
    let mut client = server.login();
    // Both end with a size of 0, the time and the name.
    let tail = |line: &str| line.rsplit_once(" 0 ").unwrap().1.to_owned();
    let expected: Vec<String> = text.lines().skip(1).map(tail).collect();
    assert_eq!(expected.len(), days.len() + 1, "{text}");
    let shown: Vec<String> = client.lines("LIST").iter().map(|line| tail(line)).collect();
    assert_eq!(shown, expected);
    let reply = client.expect(213, "STAT /");
    for line in expected {
        assert!(reply.contains(&line), "{line} in {reply}");
    }
}
