//! LIST, NLST, MLSD, MLST and STAT with a path: as pyftpdlib's `TestFtpListingCmds`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::Duration;

use testkit::{Client, Server, WAYS, Way, begin, fetch};

use super::{COSTLY, skipped_over_tls};

use crate::MODE;

/// Returns the names in lines that look as those of `ls -l`.
fn names(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect()
}

/// Returns the lines of a reply except for the first and the last.
fn inner(reply: &str) -> Vec<String> {
    let lines: Vec<_> = reply.split("\r\n").map(str::to_owned).collect();
    lines[1..lines.len() - 1].to_vec()
}

fn with_files(files: &[&str]) -> (Server, Client) {
    let server = Server::start(MODE);
    for name in files {
        if let Some((dir, _)) = name.rsplit_once('/') {
            fs::create_dir_all(server.path(dir)).unwrap();
        }
        server.write(name, b"12345");
    }
    let client = server.login();
    (server, client)
}

#[test]
fn list_and_nlst() {
    let (_server, mut client) = with_files(&["b", "a", "dir/inner"]);
    assert_eq!(client.lines("NLST"), ["a", "b", "dir"]);
    assert_eq!(client.lines("NLST dir"), ["inner"]);
    assert_eq!(client.lines("NLST a"), ["a"]);
    let lines = client.lines("LIST");
    assert_eq!(names(&lines), ["a", "b", "dir"]);
    assert!(lines[0].starts_with("-rw"), "{lines:?}");
    assert!(lines[2].starts_with("drwx"), "{lines:?}");
    assert_eq!(names(&client.lines("LIST /dir")), ["inner"]);
    assert_eq!(names(&client.lines("LIST b")), ["b"]);
    client.expect(250, "CWD dir");
    assert_eq!(client.lines("NLST"), ["inner"]);
    for command in ["LIST missing", "NLST missing", "STAT missing"] {
        let reply = client.expect(550, command);
        assert_eq!(reply, "550 No such file or directory.", "{command}");
    }
    // The directory above the root is the root.
    assert_eq!(client.lines("NLST ../.."), ["a", "b", "dir"]);
}

#[test]
fn every_way() {
    let (_server, mut client) = with_files(&["a", "b"]);
    for way in WAYS {
        for command in ["TYPE A", "TYPE I"] {
            client.expect(200, command);
            let names = fetch(&mut client, way, "NLST");
            assert_eq!(names, b"a\r\nb\r\n", "{command} {way:?}");
        }
    }
}

#[test]
fn empty_directory() {
    let (server, mut client) = with_files(&[]);
    fs::create_dir(server.path("empty")).unwrap();
    for way in WAYS {
        for command in ["LIST empty", "NLST empty", "MLSD empty"] {
            assert_eq!(fetch(&mut client, way, command), b"", "{command} {way:?}");
        }
    }
    let reply = client.expect(213, "STAT empty");
    assert_eq!(inner(&reply).len(), 0);
}

#[test]
fn flags_of_ls_are_no_names() {
    let (_server, mut client) = with_files(&["a", "dir/inner", "-la", "x -y"]);
    for flags in ["-a", "-CF", "-la", "-l -a"] {
        assert_eq!(client.lines(format!("NLST {flags}")).len(), 4, "{flags}");
        assert_eq!(client.lines(format!("LIST {flags}")).len(), 4, "{flags}");
        assert_eq!(client.lines(format!("NLST {flags} dir")), ["inner"]);
        assert_eq!(names(&client.lines(format!("LIST {flags} dir"))), ["inner"]);
        let reply = client.expect(213, format!("STAT {flags} dir"));
        assert_eq!(inner(&reply).len(), 1);
    }
    // What follows the flags, or is not a flag, is taken as a name.
    assert_eq!(client.lines("NLST x -y"), ["x -y"]);
    assert_eq!(client.lines("NLST ./-la"), ["-la"]);
    client.expect(501, "MLSD -la");
}

#[test]
fn patterns() {
    let (server, mut client) =
        with_files(&["a.txt", "b.txt", "c.bin", "dir/d.txt", "dir/e.bin", "[x]"]);
    assert_eq!(client.lines("NLST *.txt"), ["a.txt", "b.txt"]);
    assert_eq!(client.lines("NLST dir/*.txt"), ["dir/d.txt"]);
    assert_eq!(client.lines("NLST ?.bin"), ["c.bin"]);
    assert_eq!(names(&client.lines("LIST *.txt")), ["a.txt", "b.txt"]);
    assert_eq!(client.lines("LIST dir/*.txt").len(), 1);
    assert_eq!(client.lines("NLST -la *.bin"), ["c.bin"]);
    client.expect(550, "NLST *.none");
    client.expect(550, "LIST *.none");
    // The literal name comes first.
    assert_eq!(client.lines("NLST [x]"), ["[x]"]);
    server.write("*.txt", b"");
    assert_eq!(client.lines("NLST *.txt"), ["*.txt"]);
    // Patterns work only in the last part of the path.
    client.expect(550, "NLST d*/d.txt");
    // A name that a pattern matched can be used.
    for name in client.lines("NLST dir/*") {
        client.download(format!("RETR {name}"));
    }
}

/// A pattern that takes exponential time in a naive matcher.
#[test]
fn patterns_take_bounded_time() {
    let (server, mut client) = with_files(&[]);
    for number in 0..50 {
        server.write(&format!("{}{number}", "a".repeat(200)), b"");
    }
    let pattern = "*a".repeat(60) + "*b";
    client.expect(550, format!("NLST {pattern}"));
    client.expect(550, format!("LIST {pattern}"));
}

#[test]
fn mlsd() {
    let (server, mut client) = with_files(&["a", "dir/inner"]);
    symlink("a", server.path("link")).unwrap();
    let mut lines = client.lines("MLSD");
    lines.sort_by_key(|line| line.rsplit_once(' ').unwrap().1.to_owned());
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].ends_with(" a"), "{lines:?}");
    assert!(lines[0].contains("type=file;"), "{lines:?}");
    assert!(lines[0].contains("size=5;"), "{lines:?}");
    assert!(lines[1].contains("type=dir;"), "{lines:?}");
    assert_eq!(client.lines("MLSD dir").len(), 1);
    assert_eq!(
        client.expect(550, "MLSD missing"),
        "550 No such file or directory."
    );
    assert_eq!(client.expect(501, "MLSD a"), "501 No such directory.");
}

#[test]
fn mlst() {
    let (_server, mut client) = with_files(&["a", "dir/inner"]);
    let reply = client.expect(250, "MLST a");
    let lines: Vec<_> = reply.split("\r\n").collect();
    assert_eq!(lines.len(), 3, "{reply}");
    assert_eq!(lines[0], "250-Listing \"/a\":");
    assert!(lines[1].starts_with(' '), "{reply}");
    assert!(lines[1].contains("type=file;"), "{reply}");
    assert!(lines[1].ends_with(" /a"), "{reply}");
    assert_eq!(lines[2], "250 End MLST.");
    let reply = client.expect(250, "MLST");
    assert!(reply.contains("type=dir;"), "{reply}");
    client.expect(550, "MLST missing");
}

#[test]
fn opts_mlst() {
    let (server, mut client) = with_files(&["a"]);
    let reply = client.expect(200, "OPTS MLST type;size;");
    assert_eq!(reply, "200 MLST OPTS type;size;");
    assert_eq!(client.lines("MLSD"), ["size=5;type=file; a"]);
    let reply = client.expect(200, "OPTS MLST");
    assert_eq!(reply, "200 MLST OPTS ");
    assert_eq!(client.lines("MLSD"), [" a"]);
    let all = "type;perm;size;modify;create;unique;unix.mode;unix.uid;unix.gid;";
    client.expect(200, format!("OPTS MLST {all}"));
    let line = client.lines("MLSD").remove(0);
    for fact in all.split_terminator(';').filter(|fact| *fact != "create") {
        assert!(line.contains(&format!("{fact}=")), "{fact} {line}");
    }
    let feat = client.expect(211, "FEAT");
    assert!(feat.contains(" MLST "), "{feat}");
    // Another session has its own facts.
    let mut other = server.login();
    assert!(other.lines("MLSD")[0].contains("perm="));
}

#[test]
fn stat() {
    let (_server, mut client) = with_files(&["b", "a", "dir/inner"]);
    for command in ["STAT /", "STAT ."] {
        let reply = client.expect(213, command);
        assert_eq!(names(&inner(&reply)), ["a", "b", "dir"], "{command}");
    }
    assert_eq!(names(&inner(&client.expect(213, "STAT dir"))), ["inner"]);
    assert_eq!(names(&inner(&client.expect(213, "STAT a"))), ["a"]);
    client.expect(550, "STAT *");
    client.expect(211, "STAT");
}

/// A client that waits for the last line of a reply must not find it in a name.
#[test]
fn names_forge_no_lines() {
    let server = Server::start(MODE);
    let evil = [
        &b"a\r\n226 Transfer complete."[..],
        b"b\n-rw-r--r-- 1 root root 1 Jan 1 00:00 forged",
        b"c\rd",
        b"e\x1b[2Jf",
        b"g\r\n213 End of status.\r\n230 in",
        b"h\x85\xe2\x80\xa8",
        b"i\x7f\x9bj",
    ];
    fs::create_dir(server.path("dir")).unwrap();
    for name in evil {
        let path = server.path("dir").join(OsStr::from_bytes(name));
        fs::write(&path, b"").unwrap();
    }
    symlink(
        "x\r\n-rw-r--r-- 1 root root 1 Jan 1 00:00 forged",
        server.path("dir/link"),
    )
    .unwrap();
    let mut client = server.login();
    for command in [
        "LIST dir",
        "NLST dir",
        "MLSD dir",
        "NLST dir/*",
        "LIST dir/*",
    ] {
        let bytes = client.download(command);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<_> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), evil.len() + 1, "{command}: {text:?}");
        for line in lines {
            assert!(
                line.bytes().all(|byte| byte >= 0x20 && byte != 0x7f),
                "{command}: {line:?}"
            );
            assert!(!line.starts_with("226") && !line.starts_with("213"));
        }
    }
    let reply = client.expect(213, "STAT dir");
    assert_eq!(inner(&reply).len(), evil.len() + 1, "{reply:?}");
    assert!(reply.ends_with("213 End of status."), "{reply:?}");
    assert!(!reply.contains('\x1b'), "{reply:?}");
    client.expect(200, "NOOP");
    // A directory of that name comes before the names that a pattern matches.
    let name = OsStr::from_bytes(b"k\r\n250 l\x1b[2J");
    fs::create_dir(server.path("dir").join(name)).unwrap();
    fs::write(server.path("dir").join(name).join("m"), b"").unwrap();
    client.expect(250, "CWD dir");
    assert_eq!(client.lines("NLST k*").len(), 1);
}

#[test]
fn names_of_any_bytes_are_listed() {
    let server = Server::start(MODE);
    let name = b"caf\xe9\xff";
    fs::write(server.home.path().join(OsStr::from_bytes(name)), b"x").unwrap();
    let mut client = server.login();
    let listed = client.download("NLST");
    let listed = listed.strip_suffix(b"\r\n").unwrap().to_vec();
    let back = client.download([b"RETR ", &listed[..]].concat());
    assert_eq!(back, b"x");
}

#[test]
fn many_entries_sorted_and_complete_while_others_are_served() {
    if skipped_over_tls(COSTLY) {
        return;
    }
    const COUNT: usize = 20_000;
    let server = Server::start(MODE);
    fs::create_dir(server.path("dir")).unwrap();
    for number in 0..COUNT {
        // Not in the order of their names.
        let number = (number * 7919) % COUNT;
        fs::File::create(server.path(&format!("dir/{number:05}"))).unwrap();
    }
    let expected: Vec<_> = (0..COUNT).map(|number| format!("{number:05}")).collect();
    let mut client = server.login();
    let mut other = server.login();
    for command in ["NLST dir", "LIST dir"] {
        let (mut data, _) = begin(&mut client, Way::Early, command);
        let reader = std::thread::spawn(move || testkit::read_all(&mut data));
        while !reader.is_finished() {
            other.expect(200, "NOOP");
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let text = String::from_utf8(reader.join().unwrap()).unwrap();
        client.expect_reply(226);
        let lines: Vec<_> = text.split_terminator("\r\n").map(str::to_owned).collect();
        if command == "NLST dir" {
            assert!(lines == expected);
        } else {
            assert!(names(&lines) == expected);
        }
    }
    // On the control connection, pipelined with other commands.
    client.send("STAT dir\r\nNOOP\r\n");
    let reply = client.expect_reply(213);
    // Sorted only as far as a session without a transfer may hold names.
    let lines = inner(&reply);
    let mut listed = names(&lines);
    listed.sort_unstable();
    assert!(listed == expected);
    client.expect_reply(200);
}
