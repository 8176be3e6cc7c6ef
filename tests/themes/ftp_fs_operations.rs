//! Files and directories: as pyftpdlib's `TestFtpFsOperations`; also names in all encodings, and
//! each permission letter.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::proto::encoding::{Encoding, UnicodeErrors};
use testkit::{Client, PASSWORD, Server, USER};

use crate::MODE;

#[test]
fn cwd() {
    let server = Server::start(MODE);
    fs::create_dir(server.path("dir")).unwrap();
    server.write("file", "");
    let mut client = server.login();
    let reply = client.expect(250, "CWD dir");
    assert_eq!(reply, "250 \"/dir\" is the current directory.");
    let reply = client.expect(550, "CWD subtempdir");
    assert_eq!(reply, "550 No such file or directory.");
    client.expect(250, "CWD");
    let reply = client.expect(257, "PWD");
    assert_eq!(reply, "257 \"/\" is the current directory.");
    let reply = client.expect(550, "CWD file");
    assert_eq!(reply, "550 Not a directory.");
    client.expect(250, "XCWD /dir/../dir//.");
    let reply = client.expect(257, "XPWD");
    assert_eq!(reply, "257 \"/dir\" is the current directory.");
}

#[test]
fn cwd_does_not_leave_the_root() {
    let server = Server::start(MODE);
    symlink("/etc", server.path("out")).unwrap();
    let mut client = server.login();
    for path in ["..", "/..", "../../../etc", "/../../.."] {
        let (code, reply) = client.command(format!("CWD {path}"));
        assert!(
            code == 550 || reply == "250 \"/\" is the current directory.",
            "{reply}"
        );
    }
    let reply = client.expect(550, "CWD out");
    assert_eq!(
        reply,
        "550 '/out' points to a path which is outside the user's root directory."
    );
    client.expect(550, "RETR out/passwd");
    client.expect(550, "STOR out/x");
    client.expect(550, "MKD out/x");
    let reply = client.expect(257, "PWD");
    assert_eq!(reply, "257 \"/\" is the current directory.");
}

#[test]
fn pwd() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let reply = client.expect(257, "PWD");
    assert_eq!(reply, "257 \"/\" is the current directory.");
    // Quotes are doubled.
    client.expect(257, "MKD a\"b");
    client.expect(250, "CWD a\"b");
    let reply = client.expect(257, "PWD");
    assert_eq!(reply, "257 \"/a\"\"b\" is the current directory.");
}

#[test]
fn cdup() {
    let server = Server::start(MODE);
    fs::create_dir_all(server.path("dir/sub")).unwrap();
    let mut client = server.login();
    client.expect(250, "CWD dir/sub");
    let reply = client.expect(250, "CDUP");
    assert_eq!(reply, "250 \"/dir\" is the current directory.");
    let reply = client.expect(250, "XCUP");
    assert_eq!(reply, "250 \"/\" is the current directory.");
    // There is nothing above the root.
    let reply = client.expect(250, "CDUP");
    assert_eq!(reply, "250 \"/\" is the current directory.");
}

#[test]
fn mkd() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let reply = client.expect(257, "MKD dir");
    assert_eq!(reply, "257 \"/dir\" directory created.");
    assert!(server.path("dir").is_dir());
    let reply = client.expect(550, "MKD dir");
    assert_eq!(reply, "550 File exists.");
    let reply = client.expect(257, "XMKD dir/a\"b");
    assert_eq!(reply, "257 \"/dir/a\"\"b\" directory created.");
    client.expect(550, "MKD none/dir");
}

#[test]
fn rmd() {
    let server = Server::start(MODE);
    fs::create_dir_all(server.path("dir/sub")).unwrap();
    server.write("file", "");
    let mut client = server.login();
    let reply = client.expect(550, "RMD dir");
    assert_eq!(reply, "550 Directory not empty.");
    let reply = client.expect(250, "RMD dir/sub");
    assert_eq!(reply, "250 Directory removed.");
    client.expect(250, "XRMD dir");
    assert!(!server.path("dir").exists());
    client.expect(550, "RMD file");
    client.expect(550, "RMD none");
    for root in ["/", "dir/..", ".", "//"] {
        let reply = client.expect(550, format!("RMD {root}"));
        assert_eq!(reply, "550 Can't remove root directory.");
    }
    assert!(server.home.path().is_dir());
}

#[test]
fn dele() {
    let server = Server::start(MODE);
    server.write("file", "");
    server.write("target", "");
    fs::create_dir(server.path("dir")).unwrap();
    symlink("target", server.path("link")).unwrap();
    let mut client = server.login();
    assert_eq!(client.expect(250, "DELE file"), "250 File removed.");
    assert!(!server.path("file").exists());
    client.expect(550, "DELE file");
    client.expect(550, "DELE dir");
    // The link is removed, not its target.
    client.expect(250, "DELE link");
    assert!(server.path("target").exists());
}

#[test]
fn rnfr_rnto() {
    let server = Server::start(MODE);
    server.write("file", "x");
    fs::create_dir(server.path("dir")).unwrap();
    let mut client = server.login();
    let reply = client.expect(350, "RNFR file");
    assert_eq!(reply, "350 Ready for destination name.");
    assert_eq!(client.expect(250, "RNTO dir/other"), "250 Renaming ok.");
    assert_eq!(server.read("dir/other"), b"x");
    client.expect(350, "RNFR dir");
    client.expect(250, "RNTO newdir");
    // RNFR counts once only.
    let reply = client.expect(503, "RNTO again");
    assert_eq!(reply, "503 Bad sequence of commands: use RNFR first.");
    client.expect(550, "RNFR none");
    client.expect(503, "RNTO x");
    client.expect(350, "RNFR newdir/other");
    // A RNTO that is refused leaves the old name.
    client.expect(550, "RNTO none/x");
    client.expect(250, "RNTO x");
    client.expect(503, "RNTO y");
    let reply = client.expect(550, "RNFR /");
    assert_eq!(reply, "550 Can't rename home directory.");
}

#[test]
fn mdtm() {
    let server = Server::start(MODE);
    server.write("file", "");
    fs::create_dir(server.path("dir")).unwrap();
    let mut client = server.login();
    let reply = client.expect(213, "MDTM file");
    assert_eq!(reply.len(), "213 20201105120000".len(), "{reply}");
    let reply = client.expect(550, "MDTM dir");
    assert_eq!(reply, "550 /dir is not retrievable");
    client.expect(550, "MDTM none");
}

#[test]
fn unforeseen_mdtm_event() {
    let server = Server::start(MODE);
    let path = server.write("file", "");
    let mut client = server.login();
    for (seconds, expected) in [
        (-1, "213 19691231235959"),
        (0, "213 19700101000000"),
        (4_102_444_800, "213 21000101000000"),
    ] {
        set_mtime(&path, seconds);
        assert_eq!(client.expect(213, "MDTM file"), expected);
    }
}

fn set_mtime(path: &std::path::Path, seconds: i64) {
    use std::time::{Duration, UNIX_EPOCH};
    let delta = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds {
        0.. => UNIX_EPOCH + delta,
        _ => UNIX_EPOCH - delta,
    };
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

#[test]
fn mfmt() {
    let server = Server::start(MODE);
    server.write("a file", "");
    fs::create_dir(server.path("dir")).unwrap();
    let mut client = server.login();
    let reply = client.expect(213, "MFMT 20201105120000 a file");
    assert_eq!(reply, "213 Modify=20201105120000; /a file.");
    assert_eq!(client.expect(213, "MDTM a file"), "213 20201105120000");
    client.expect(550, "MFMT 20201105120000 none");
    // The fact `perm` of directories has the letter T too.
    let facts = client.lines("MLSD").remove(0) + &client.lines("MLSD").remove(1);
    assert_eq!(facts.matches("T").count(), 2, "{facts}");
    let reply = client.expect(213, "MFMT 20201105120000 dir");
    assert_eq!(reply, "213 Modify=20201105120000; /dir.");
    let facts = client.expect(250, "MLST dir");
    assert!(facts.contains("modify=20201105120000;"), "{facts}");
    client.expect(213, "MFMT 20201105120001 /");
    let facts = client.expect(250, "MLST /");
    assert!(facts.contains("modify=20201105120001;"), "{facts}");
}

/// RFC 3659 §2.3. The file system of the server gets whole seconds, which the reply shows.
#[test]
fn mfmt_of_fractions_and_leap_seconds() {
    let server = Server::start(MODE);
    let path = server.write("file", "");
    let mut client = server.login();
    for (sent, set) in [
        ("20201105120000.5", "20201105120000"),
        ("20201105120000.999999999999", "20201105120000"),
        ("20161231235960", "20170101000000"),
        ("20240228235960.25", "20240229000000"),
        ("19691231235959.9", "19691231235959"),
        ("19020101000000", "19020101000000"),
    ] {
        let reply = client.expect(213, format!("MFMT {sent} file"));
        assert_eq!(reply, format!("213 Modify={set}; /file."));
        assert_eq!(client.expect(213, "MDTM file"), format!("213 {set}"));
        let data = fs::metadata(&path).unwrap();
        assert_eq!(data.mtime_nsec(), 0, "{sent}");
    }
}

/// A time that the file system cannot hold, or that a reply cannot show, is not set.
#[test]
fn times_that_no_reply_shows() {
    let server = Server::start(MODE);
    server.write("file", "");
    let mut client = server.login();
    client.expect(213, "MFMT 20201105120000 file");
    client.expect(501, "MFMT 99991231235960 file");
    assert_eq!(client.expect(213, "MDTM file"), "213 20201105120000");
    // Where the file system can hold the time, it is shown in four digits or not at all.
    let file = fs::File::open(server.path("file")).unwrap();
    for (seconds, shown) in [(253_402_300_800, None), (-1, Some("19691231235959"))] {
        let time = rustix::fs::Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::futimens(&file, &times).unwrap();
        if file.metadata().unwrap().mtime() != seconds {
            continue;
        }
        let line = client.lines("MLSD").remove(0);
        match shown {
            Some(shown) => {
                assert_eq!(client.expect(213, "MDTM file"), format!("213 {shown}"));
                assert!(line.starts_with(&format!("modify={shown};")), "{line}");
            }
            None => {
                client.expect(550, "MDTM file");
                assert!(!line.contains("modify="), "{line}");
                let line = client.lines("LIST").remove(0);
                assert!(line.ends_with(" Jan  1  10000 file"), "{line}");
            }
        }
    }
}

#[test]
fn invalid_mfmt_timeval() {
    let server = Server::start(MODE);
    server.write("file", "");
    let mut client = server.login();
    for bad in [
        "AAAAABBBBBCCCC",
        "2020110512000",
        "202011051200000",
        "20201305120000",
        "20201132120000",
        "20210229120000",
        "20200231120000",
        "00001105120000",
        "20201105120061",
        "20201105126000",
        "20201105120000.",
        "20201105120000.x",
        "20201105120000,5",
        "20201105.120000",
        "20201105250000",
        "+0201105120000",
    ] {
        let reply = client.expect(501, format!("MFMT {bad} file"));
        assert_eq!(reply, "501 Invalid time format; expected: YYYYMMDDHHMMSS.");
    }
}

#[test]
fn missing_mfmt_timeval_arg() {
    let server = Server::start(MODE);
    server.write("file", "");
    server.login().expect(501, "MFMT file");
}

#[test]
fn size() {
    let server = Server::start(MODE);
    server.write("file", [0; 12_345]);
    fs::create_dir(server.path("dir")).unwrap();
    let mut client = server.login();
    assert_eq!(client.expect(213, "SIZE file"), "213 12345");
    let reply = client.expect(550, "SIZE dir");
    assert_eq!(reply, "550 /dir is not retrievable.");
    client.expect(550, "SIZE none");
    client.expect(200, "TYPE A");
    let reply = client.expect(550, "SIZE file");
    assert_eq!(reply, "550 SIZE not allowed in ASCII mode.");
}

#[test]
fn site_chmod() {
    let server = Server::start(MODE);
    let path = server.write("file", "");
    let mut client = server.login();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    for (text, expected) in [("755", 0o755), ("0644", 0o644), ("600", 0o600)] {
        let reply = client.expect(200, format!("SITE CHMOD {text} file"));
        assert_eq!(reply, "200 SITE CHMOD successful.");
        assert_eq!(mode(), expected);
    }
    // A mode beyond 0777 would make a program run as its owner or group.
    for bad in [
        "888", "rwx", "0888", "77777", "4755", "2755", "1777", "7777",
    ] {
        let reply = client.expect(501, format!("SITE CHMOD {bad} file"));
        assert_eq!(reply, "501 Invalid SITE CHMOD format.");
    }
    assert_eq!(mode(), 0o600);
    client.expect(550, "SITE CHMOD 755 none");
    symlink("/etc", server.path("out")).unwrap();
    client.expect(550, "SITE CHMOD 755 out");
}

#[test]
fn names_of_any_kind() {
    let server = Server::start(MODE);
    let mut client = server.login();
    for name in [
        " a", "a ", "-la", "~", "$HOME", "`id`", "a'b", "a\\b", "a;b", "*", "?", "[x]", "é", "日本",
    ] {
        client.upload(format!("STOR {name}"), name);
        assert_eq!(client.download(format!("RETR {name}")), name.as_bytes());
        client.expect(213, format!("SIZE {name}"));
        assert!(client.lines("NLST /").contains(&name.to_owned()));
        client.expect(250, format!("DELE {name}"));
    }
    let left = fs::read_dir(server.home.path()).unwrap().count();
    assert_eq!(left, 0);
    let reply = client.expect(550, "MKD a\0b");
    assert_eq!(reply, "550 Invalid character in path name.");
    client.expect(550, "RETR a\rb");
    client.expect(550, "MKD a\rb");
    client.expect(550, format!("MKD {}", "x".repeat(300)));
}

/// A name with a line break does not forge a reply.
#[test]
fn names_forge_no_replies() {
    let server = Server::start(MODE);
    server.write("a\r\n226 forged", "x");
    fs::create_dir(server.path("d\r\n226 forged")).unwrap();
    let mut client = server.login();
    let lines = client.lines("NLST");
    assert_eq!(lines, ["a??226 forged", "d??226 forged"]);
    assert_eq!(client.lines("LIST").len(), 2);
    assert_eq!(client.lines("MLSD").len(), 2);
    let reply = client.expect(213, "STAT /");
    assert!(!reply.contains("\r\n226"), "{reply}");
}

#[test]
fn names_that_are_not_utf8() {
    let server = Server::start(MODE);
    let raw = OsStr::from_bytes(b"caf\xe9.txt");
    fs::write(server.home.path().join(raw), "latin").unwrap();
    let mut client = server.login();
    assert_eq!(client.download("NLST"), b"caf?.txt\r\n");
    assert!(client.lines("LIST")[0].ends_with(" caf?.txt"));
    assert!(client.lines("MLSD")[0].ends_with(" caf?.txt"));
    // The client names it by its bytes, and as it is listed.
    assert_eq!(client.download(b"RETR caf\xe9.txt"), b"latin");
    assert_eq!(client.download("RETR caf?.txt"), b"latin");
    assert_eq!(client.expect(213, "SIZE caf?.txt"), "213 5");
    // A command that makes a file takes the argument literally.
    client.upload("STOR caf?.txt", "new");
    assert_eq!(server.read("caf?.txt"), b"new");
    assert_eq!(client.download(b"RETR caf\xe9.txt"), b"latin");
    client.expect(250, "DELE caf?.txt");
    client.expect(350, "RNFR caf?.txt");
    client.expect(250, b"RNTO th\xe9.txt");
    client.expect(250, "DELE th?.txt");
    client.expect(550, "DELE th?.txt");
    // Two names that are listed alike: neither is found.
    for name in [&b"\xe9"[..], b"\xe8"] {
        fs::write(server.home.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    client.expect(550, "RETR ?");
    assert_eq!(client.download(b"RETR \xe8"), b"\xe8");
    // Unless a file has exactly that name.
    server.write("?", "mark");
    assert_eq!(client.download("RETR ?"), b"mark");
}

#[test]
fn names_that_are_not_utf8_in_directories() {
    let server = Server::start(MODE);
    let dir = server.home.path().join(OsStr::from_bytes(b"d\xff"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("file"), "x").unwrap();
    let mut client = server.login();
    client.expect(250, "CWD d?");
    assert_eq!(client.download("RETR file"), b"x");
    client.expect(250, "CWD /");
    client.expect(250, b"CWD d\xff");
    client.send("PWD\r\n");
    let line = client.line().unwrap();
    assert!(line.starts_with(b"257 \"/d"), "{line:?}");
    client.expect(257, b"MKD \xfe");
    assert!(dir.join(OsStr::from_bytes(b"\xfe")).is_dir());
    client.expect(250, b"RMD \xfe");
}

#[test]
fn surrogateescape() {
    let server = Server::with(MODE, |config| {
        config.unicode_errors = UnicodeErrors::SurrogateEscape
    });
    let raw = OsStr::from_bytes(b"caf\xe9.txt");
    fs::write(server.home.path().join(raw), "latin").unwrap();
    let mut client = server.login();
    assert_eq!(client.download("NLST"), b"caf\xe9.txt\r\n");
    assert!(client.download("LIST").ends_with(b" caf\xe9.txt\r\n"));
    assert!(client.download("MLSD").ends_with(b" caf\xe9.txt\r\n"));
    assert_eq!(client.download(b"RETR caf\xe9.txt"), b"latin");
    client.expect(550, "RETR caf?.txt");
}

#[test]
fn strict() {
    let server = Server::with(MODE, |config| config.unicode_errors = UnicodeErrors::Strict);
    let mut client = server.login();
    let reply = client.expect(501, b"MKD caf\xe9");
    assert_eq!(reply, "501 Can't decode command.");
    client.expect(257, "MKD café");
}

/// A name from a client of an old encoding is stored in UTF-8, and comes back as it was sent.
#[test]
fn encodings() {
    for (encoding, name, wire) in [
        ("gbk", "中文", &b"\xd6\xd0\xce\xc4"[..]),
        // The second byte of this character is a backslash.
        ("gbk", "誠", b"\xd5\x5c"),
        ("cp1251", "мир", b"\xec\xe8\xf0"),
        ("latin-1", "café", b"caf\xe9"),
        ("shift_jis", "表", b"\x95\x5c"),
    ] {
        let server = Server::with(MODE, move |config| {
            config.encoding = Encoding::by_name(encoding).unwrap();
        });
        let mut client = server.login();
        let line = |before: &[u8], after: &[u8]| [before, wire, after].concat();
        client.upload(line(b"STOR ", b".txt"), encoding);
        assert_eq!(
            fs::read(server.path(&format!("{name}.txt"))).unwrap(),
            encoding.as_bytes()
        );
        assert_eq!(client.download("NLST"), line(b"", b".txt\r\n"));
        assert!(client.download("LIST").ends_with(&line(b" ", b".txt\r\n")));
        assert!(client.download("MLSD").ends_with(&line(b" ", b".txt\r\n")));
        let bytes = client.download(line(b"RETR ", b".txt"));
        assert_eq!(bytes, encoding.as_bytes());
        client.expect(250, line(b"DELE ", b".txt"));
        client.send(line(b"MKD ", b"\r\n"));
        assert_eq!(
            client.line().unwrap(),
            line(b"257 \"/", b"\" directory created.")
        );
        client.send(line(b"CWD ", b"\r\nPWD\r\n"));
        let end = b"\" is the current directory.";
        assert_eq!(client.line().unwrap(), line(b"250 \"/", end));
        assert_eq!(client.line().unwrap(), line(b"257 \"/", end));
        // A character outside of the encoding is replaced, and the name is found by that.
        server.write("\u{1f40d}", "snake");
        client.expect(250, "CWD /");
        let shown = client.download("NLST");
        assert!(shown.ends_with(b"?\r\n"), "{shown:?}");
    }
}

#[test]
fn names_that_the_encoding_does_not_have() {
    let server = Server::with(MODE, |config| config.encoding = Encoding::LATIN_1);
    server.write("\u{1f40d}.txt", "snake");
    let mut client = server.login();
    assert_eq!(client.download("NLST"), b"?.txt\r\n");
    assert_eq!(client.download("RETR ?.txt"), b"snake");
}

/// For each letter: a command that needs it, on a file, and its reply.
const LETTERS: [(char, &str, u16); 17] = [
    ('e', "CWD dir", 250),
    ('l', "SIZE dir/file", 213),
    ('l', "MDTM dir/file", 213),
    ('l', "MLST dir/file", 250),
    ('l', "STAT dir", 213),
    ('l', "LIST dir", 150),
    ('l', "MLSD dir", 150),
    ('r', "RETR dir/file", 150),
    ('a', "APPE dir/file", 150),
    ('f', "RNFR dir/file", 350),
    ('d', "RMD dir/empty", 250),
    ('d', "DELE dir/file", 250),
    ('m', "MKD dir/new", 257),
    ('w', "STOR dir/file", 150),
    ('w', "STOU dir/x", 150),
    ('M', "SITE CHMOD 644 dir/file", 200),
    ('T', "MFMT 20201105120000 dir/file", 213),
];

fn with_authorizer(
    set: impl FnOnce(&DummyAuthorizer, &std::path::Path) + Send + 'static,
) -> (Server, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    for dir in ["dir/empty", "dir/sub", "other"] {
        fs::create_dir_all(home.path().join(dir)).unwrap();
    }
    for file in ["dir/file", "dir/sub/file", "other/file", "file"] {
        fs::write(home.path().join(file), "x").unwrap();
    }
    let path = home.path().to_owned();
    let server = Server::with(MODE, move |config| {
        let authorizer = DummyAuthorizer::new();
        set(&authorizer, &path);
        config.set_authorizer(authorizer);
    });
    (server, home)
}

fn log_in(server: &Server) -> Client {
    let mut client = server.connect();
    client.login(USER, PASSWORD);
    client.expect(200, "TYPE I");
    client
}

const DENIED: &str = "550 Not enough privileges.";

#[test]
fn permissions() {
    let all = "elradfmwMT";
    for (letter, command, code) in LETTERS {
        for given in [true, false] {
            let perm: String = match given {
                true => all.to_owned(),
                false => all.chars().filter(|other| *other != letter).collect(),
            };
            let (server, home) = with_authorizer(move |authorizer, home| {
                authorizer
                    .add_user(USER, PASSWORD, home, perm.as_str())
                    .unwrap();
            });
            let mut client = log_in(&server);
            client.expect(229, "EPSV");
            let reply = client.command(command);
            let expected = if given { code } else { 550 };
            assert_eq!(reply.0, expected, "{letter} {command}: {}", reply.1);
            assert!(given || reply.1 == DENIED, "{}", reply.1);
            let untouched = home.path().join("dir/file").exists()
                && home.path().join("dir/empty").exists()
                && !home.path().join("dir/new").exists();
            assert!(given || untouched);
        }
    }
}

#[test]
fn override_perm() {
    let (server, home) = with_authorizer(|authorizer, home| {
        authorizer.add_user(USER, PASSWORD, home, "elr").unwrap();
        authorizer
            .override_perm(USER, home.join("dir"), "elradfmwMT", true)
            .unwrap();
        authorizer
            .override_perm(USER, home.join("other"), "e", false)
            .unwrap();
    });
    let mut client = log_in(&server);
    // More permissions than elsewhere, in all directories below.
    client.upload("STOR dir/new", "x");
    client.upload("APPE dir/sub/file", "y");
    client.expect(257, "MKD dir/sub/new");
    assert_eq!(
        fs::read(home.path().join("dir/sub/file")).unwrap(),
        b"xy",
        "appended"
    );
    assert_eq!(client.expect(550, "DELE file"), DENIED);
    assert_eq!(client.expect(550, "DELE dir/../file"), DENIED);
    // Fewer permissions than elsewhere.
    assert_eq!(client.expect(550, "RETR other/file"), DENIED);
    assert_eq!(client.expect(550, "LIST other"), DENIED);
    client.expect(250, "CWD other");
    assert_eq!(client.expect(550, "RETR file"), DENIED);
    assert_eq!(client.expect(550, "STAT file"), DENIED);
    assert_eq!(client.expect(550, "STOR ../x"), DENIED);
    // A file cannot be moved to a directory where it could not be made.
    client.expect(250, "CWD /dir");
    client.expect(350, "RNFR file");
    assert_eq!(client.expect(550, "RNTO ../stolen"), DENIED);
    assert!(!home.path().join("stolen").exists());
}
