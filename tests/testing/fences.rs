//! Fences: settings that keep clients from something. Each test is the attack.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ftpdlib::FSError;
use ftpdlib::TlsConfig;
use ftpdlib::authorizers::{self, Authorizer, DummyAuthorizer, LaterVerdict, Verdict};
use ftpdlib::filesystems::{AbstractedFS, FSState, local};
use ftpdlib::handlers::StockHandler;
use ftpdlib::proto::network::Network;
use ftpdlib::testing::Session;
use testkit::authority::Pair;
use testkit::pattern;

use super::place::{Place, place, reply};
use super::server::{Client, read, server};

const SECOND: Duration = Duration::from_secs(1);

// --- active_mode

#[test]
fn without_active_mode_the_server_connects_to_nobody() {
    let mut place = place();
    place.config.active_mode = false;
    let mut session = place.login();
    let listener = session.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = listener.address();
    let [high, low] = at.port().to_be_bytes();
    let host = at.ip().to_string();
    let port = format!("PORT {},{high},{low}", host.replace('.', ","));
    let eprt = format!("EPRT |1|{host}|{}|", at.port());
    for line in [&*port, &eprt, "PORT nonsense"] {
        let refused = session.command(line);
        assert_eq!(
            refused,
            "502 Active mode is not available, use PASV or EPSV."
        );
    }
    assert!(listener.accept().is_none());
    let features = session.command("FEAT").lines().to_vec();
    assert!(!features.iter().any(|line| line.contains("EPRT")));
    assert!(features.iter().any(|line| line.contains("EPSV")));
    session.stor("a", b"passive");
    assert_eq!(session.retr("a").unwrap(), b"passive");
}

// --- allow_from, deny_from

fn networks(all: &[&str]) -> Vec<Network> {
    all.iter().map(|text| text.parse().unwrap()).collect()
}

const REFUSED: &str = "421 Service not available to your address.";

#[test]
fn networks_decide_who_is_served() {
    for (allow, deny, served, refused) in [
        (
            &[][..],
            &["10.0.0.9"][..],
            &["10.0.0.8", "::2"][..],
            &["10.0.0.9"][..],
        ),
        (&["10.0.0.0/24"], &[], &["10.0.0.9"], &["10.0.1.9", "::2"]),
        // What is denied is denied.
        (
            &["10.0.0.0/8"],
            &["10.0.0.0/24"],
            &["10.0.1.9"],
            &["10.0.0.9", "11.0.0.1"],
        ),
        (&["10.0.0.0/24"], &["0.0.0.0/0"], &[], &["10.0.0.9", "::2"]),
        (&["::/0"], &[], &["::2"], &["10.0.0.9"]),
        // An IPv4 client of a dual-stack socket.
        (
            &[],
            &["10.0.0.0/24"],
            &["::ffff:10.0.1.9"],
            &["::ffff:10.0.0.9"],
        ),
        (
            &[],
            &["::ffff:10.0.0.0/120"],
            &["10.0.1.9"],
            &["10.0.0.9", "::ffff:10.0.0.9"],
        ),
    ] {
        let mut place = place();
        place.config.allow_from = networks(allow);
        place.config.deny_from = networks(deny);
        let mut server = server(place.config.clone(), 1);
        server.set_max_cons_per_ip(1);
        let mut clients = Vec::new();
        for (ips, greeting) in [(served, "220 "), (refused, REFUSED)] {
            for ip in ips {
                let ip: IpAddr = ip.parse().unwrap();
                let from = SocketAddr::new(ip, 0);
                let stream = server.connect(from, server.address()).unwrap();
                server.settle();
                let got = String::from_utf8(read(&stream)).unwrap();
                assert!(got.starts_with(greeting), "{allow:?} {deny:?} {ip}: {got}");
                clients.push(stream);
            }
        }
        // A refused client holds nothing.
        assert_eq!(server.sessions(), served.len());
        assert_eq!(server.slots(), served.len());
    }
}

// --- own ports

/// A client uploads a file of commands, and lets the server send it to itself.
#[test]
fn the_server_does_not_send_files_to_itself() {
    let mut place = place();
    place.config.permit_foreign_addresses = true;
    place.config.permit_privileged_ports = true;
    place.config.masquerade_address = Some("203.0.113.7".to_owned());
    place.write("commands", b"USER user\r\nPASS 12345\r\nDELE commands\r\n");
    let server = server(place.config.clone(), 1);
    let client = Client::login(&server, "10.0.0.2");
    for line in [
        "PORT 10,0,0,1,0,21",
        "PORT 0,0,0,0,0,21",
        "PORT 203,0,113,7,0,21",
        "EPRT |1|10.0.0.1|21|",
    ] {
        let refused = "501 PORT against the server's own port \"21\" refused.";
        assert_eq!(client.command(line), refused, "{line}");
    }
    client.command("RETR commands");
    assert_eq!(server.sessions(), 1);
    // Another host may have the same port.
    client.command("ABOR");
    let listener = server.listen("10.0.0.3:21".parse().unwrap()).unwrap();
    assert!(client.command("PORT 10,0,0,3,0,21").starts_with("200 "));
    assert!(listener.accept().is_ok());
}

// --- max_upload_size

const COMPLETE: &str = "226 Transfer complete.";
const TOO_LARGE: &str = "552 Requested file action aborted. Exceeded storage allocation.";

/// What the file has before, the position of REST, the command, the bytes, whether they are too many,
/// and what the file has then.
const UPLOADS: [(&str, u64, &str, &str, bool, &str); 10] = [
    ("", 0, "STOR a", "0123456789", false, "0123456789"),
    ("", 0, "STOR a", "0123456789x", true, "0123456789"),
    // What was there before does not count.
    ("0123456789", 0, "STOR a", "abc", false, "abc"),
    ("01234567", 0, "APPE a", "ab", false, "01234567ab"),
    ("01234567", 0, "APPE a", "abc", true, "01234567ab"),
    ("0123456789", 0, "APPE a", "", false, "0123456789"),
    ("0123456789", 0, "APPE a", "a", true, "0123456789"),
    ("01234567", 4, "STOR a", "abcdef", false, "0123abcdef"),
    ("01234567", 4, "STOR a", "abcdefg", true, "0123abcdef"),
    ("", 0, "STOU", "0123456789x", true, ""),
];

/// An upload of any kind ends at the limit, and the file keeps what fits.
#[test]
fn uploads_end_at_the_largest_size() {
    let mut place = place();
    place.config.max_upload_size = 10;
    for tp in ["TYPE I", "TYPE A"] {
        let mut session = place.login();
        session.command(tp);
        for (before, rest, command, bytes, is_refused, after) in UPLOADS {
            if rest > 0 && tp == "TYPE A" {
                continue;
            }
            place.write("a", before.as_bytes());
            let mut data = session.passive();
            if rest > 0 {
                session.command(&format!("REST {rest}"));
            }
            assert_eq!(session.command(command).code(), 125, "{command}");
            data.write(bytes.as_bytes());
            data.close();
            let expected = if is_refused { TOO_LARGE } else { COMPLETE };
            assert_eq!(reply(&mut session), expected, "{tp} {command} {bytes}");
            assert_eq!(place.read("a"), after.as_bytes(), "{command} {bytes}");
        }
    }
    for entry in std::fs::read_dir(place.home.path()).unwrap() {
        assert!(entry.unwrap().metadata().unwrap().len() <= 10);
    }
}

/// TYPE A holds a CR back until the end.
#[test]
fn the_last_cr_is_not_one_byte_too_many() {
    let mut place = place();
    place.config.max_upload_size = 3;
    let mut session = place.login();
    assert_eq!(session.stor("a", b"abc"), "226 Transfer complete.");
    session.command("TYPE A");
    let mut data = session.passive();
    session.command("STOR a");
    data.write(b"abc\r");
    data.close();
    assert_eq!(reply(&mut session), TOO_LARGE);
    assert_eq!(place.read("a"), b"abc");
}

#[test]
fn what_is_known_to_be_too_large_does_not_begin() {
    let mut place = place();
    place.config.max_upload_size = 10;
    place.write("large", b"0123456789ab");
    place.write("small", b"01234567");
    let mut session = place.login();
    session.command("TYPE I");
    for (announced, rest, command, code) in [
        ("11", 0, "STOR new", 552),
        ("11 R 5", 0, "STOR new", 552),
        ("11", 0, "STOU new", 552),
        ("3", 0, "APPE small", 552),
        ("7", 4, "STOR small", 552),
        ("0", 11, "STOR large", 552),
        ("0", 5, "STOR large", 552),
        ("0", 0, "APPE large", 552),
        ("99999999999999999999", 0, "STOR new", 552),
        ("2", 0, "APPE small", 150),
        ("10", 0, "STOR small", 150),
        // It counts for one upload.
        ("", 0, "STOR small", 150),
    ] {
        if !announced.is_empty() {
            assert_eq!(session.command(&format!("ALLO {announced}")).code(), 202);
        }
        if rest > 0 {
            session.command(&format!("REST {rest}"));
        }
        let reply = session.command(command);
        assert_eq!(reply.code(), code, "{announced} {rest} {command}: {reply}");
        if code == 150 {
            session.command("ABOR");
            session.reply();
        }
    }
    assert_eq!(place.read("large"), b"0123456789ab");
    assert_eq!(place.read("small"), b"01234567");
    let names = std::fs::read_dir(place.home.path()).unwrap().count();
    assert_eq!(names, 2, "nothing was made");
}

// --- min_free_space

/// The stock file system on a disk of this size, which the test changes.
struct Small(Arc<AtomicU64>);

impl AbstractedFS for Small {
    fn free_space(&self, fs: &FSState, path: &Path) -> Result<Option<u64>, FSError> {
        let all = local::free_space(fs, path)?;
        let home = std::fs::read_dir(fs.root()).unwrap();
        let used: u64 = home
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        Ok(Some(all.min(self.0.load(Relaxed).saturating_sub(used))))
    }
}

const NO_SPACE: &str = "452 Requested action not taken. Insufficient storage space in system.";

#[test]
fn uploads_leave_the_last_space_free() {
    for (size, keep) in [(100, 20), (9 << 20, 1 << 20)] {
        let mut place = place();
        let disk = Arc::new(AtomicU64::new(size));
        place.config.min_free_space = keep;
        place.config.set_abstracted_fs(Small(Arc::clone(&disk)));
        let most = usize::try_from(size - keep).unwrap();
        let bytes = pattern(most + 1);
        let mut session = place.login();
        session.command("TYPE I");
        assert_eq!(
            session.stor("fits", &bytes[..most]),
            "226 Transfer complete."
        );
        for command in ["STOR a", "APPE fits", "STOU"] {
            assert_eq!(session.command(command), NO_SPACE);
        }
        session.command("DELE fits");
        assert_eq!(session.stor("a", &bytes), NO_SPACE);
        assert!(place.read("a") == bytes[..most]);
        session.command("DELE a");
        session.command(&format!("ALLO {}", bytes.len()));
        assert_eq!(session.command("STOR a"), NO_SPACE);
        assert!(!place.home.path().join("a").exists());
    }
}

/// Another program fills the disk during the upload.
#[test]
fn the_space_is_looked_at_during_an_upload() {
    let mut place = place();
    let disk = Arc::new(AtomicU64::new(1 << 30));
    place.config.min_free_space = 1000;
    place.config.set_abstracted_fs(Small(Arc::clone(&disk)));
    let mut session = place.login();
    let mut data = session.passive();
    session.command("STOR a");
    data.write(&pattern(3 << 20));
    assert_eq!(session.reply(), None);
    disk.store(1000, Relaxed);
    data.write(&pattern(3 << 20));
    assert_eq!(reply(&mut session), NO_SPACE);
    assert!(place.read("a").len() < 5 << 20);
}

/// A file system that does not know its space takes no upload.
#[test]
fn unknown_space_is_no_space() {
    struct Unknown;
    impl AbstractedFS for Unknown {
        fn free_space(&self, _: &FSState, _: &Path) -> Result<Option<u64>, FSError> {
            Err(FSError::from_errno(libc::ENOSYS))
        }
    }
    let mut place = place();
    place.config.min_free_space = 1;
    place.config.set_abstracted_fs(Unknown);
    let mut session = place.login();
    assert_eq!(session.stor("a", b"x"), "550 Function not implemented.");
    assert!(!place.home.path().join("a").exists());
}

// --- deny, hide

/// A home with a hidden directory and a hidden file, and links to them.
fn hidden() -> Place {
    let mut place = place();
    place.config.hide = vec!["secret*".to_owned(), ".git".to_owned()];
    place.config.deny = vec!["*.php".to_owned()];
    let home = place.home.path().to_owned();
    std::fs::create_dir_all(home.join("dir/.git/deep")).unwrap();
    for name in [
        "secret.txt",
        "SECRET2",
        "dir/.git/config",
        "dir/a",
        "a.php",
        ".b.PHP",
    ] {
        place.write(name, b"contents");
    }
    for (target, link) in [
        ("dir/.git", "link"),
        ("secret.txt", "linked"),
        ("dir/.git/new", "dangling"),
        ("a.php", "denied"),
    ] {
        symlink(target, home.join(link)).unwrap();
    }
    symlink(home.join("secret.txt"), home.join("absolute")).unwrap();
    place
}

/// All commands that take the name of something that exists.
const COMMANDS: [&str; 18] = [
    "CWD",
    "RETR",
    "SIZE",
    "MDTM",
    "MLST",
    "MLSD",
    "LIST",
    "NLST",
    "STAT",
    "DELE",
    "RMD",
    "RNFR",
    "SITE CHMOD 600",
    "MFMT 20200101000000",
    "XCWD",
    "XRMD",
    "LIST -la",
    "STAT -la",
];

#[test]
fn hidden_names_are_as_names_that_do_not_exist() {
    let place = hidden();
    let mut session = place.login();
    session.command("TYPE I");
    for (there, missing) in [
        ("secret.txt", "notthere.x"),
        ("/dir/../secret.txt", "/dir/../notthere.x"),
        ("SECRET2", "NOTHERE"),
        ("dir/.git", "dir/.got"),
        ("dir/.git/config", "dir/.got/config"),
        ("dir/.GIT/config", "dir/.GOT/config"),
        ("dir/.git/deep/../config", "dir/.got/deep/../config"),
        ("secret.txt/", "notthere.x/"),
    ] {
        for command in COMMANDS {
            let refused = session.command(&format!("{command} {there}"));
            let expected = session.command(&format!("{command} {missing}"));
            assert!(refused.code() >= 500, "{command} {there}: {refused}");
            let (name, other) = (there.trim_end_matches('/'), missing.trim_end_matches('/'));
            let shown = |reply: &str| reply.replace(".git", ".got").replace(".GIT", ".GOT");
            let refused = shown(&refused.to_string()).replace(&shown(name), &shown(other));
            let refused = refused.replace("secret.txt", "notthere.x");
            assert_eq!(refused, expected.to_string(), "{command} {there}");
        }
    }
}

#[test]
fn links_do_not_lead_to_hidden_or_denied_names() {
    let place = hidden();
    let mut session = place.login();
    session.command("TYPE I");
    for path in [
        "link",
        "link/config",
        "linked",
        "absolute",
        "dangling",
        "denied",
    ] {
        let follow = [
            "CWD",
            "RETR",
            "SIZE",
            "MDTM",
            "SITE CHMOD 600",
            "MFMT 20200101000000",
            "MLSD",
            "STOR",
            "APPE",
        ];
        for command in follow {
            let refused = session.command(&format!("{command} {path}"));
            assert!(refused.code() >= 500, "{command} {path}: {refused}");
        }
    }
    assert!(!place.home.path().join("dir/.git/new").exists());
    // As a link that leads nowhere, it can be renamed and deleted itself.
    assert_eq!(session.command("RNFR linked").code(), 350);
    assert_eq!(session.command("RNTO renamed").code(), 250);
    assert_eq!(session.command("DELE renamed").code(), 250);
    let mlsd = session.list("MLSD").unwrap();
    assert!(mlsd.contains("type=OS.unix=symlink;"), "{mlsd}");
    assert_eq!(place.read("secret.txt"), b"contents");
}

#[test]
fn nothing_gets_a_hidden_or_denied_name() {
    let place = hidden();
    let mut session = place.login();
    let count = || walk(place.home.path());
    let before = count();
    for name in [
        "secret3",
        "x.php",
        "dir/.git/x",
        "link/x",
        ".git",
        "Secret",
        ".PHP",
    ] {
        for command in ["STOR", "APPE", "MKD", "XMKD"] {
            let refused = session.command(&format!("{command} {name}"));
            assert_eq!(refused.code(), 550, "{command} {name}: {refused}");
        }
        let refused = session.command(&format!("STOU {name}"));
        assert!(matches!(refused.code(), 450 | 550), "{name}: {refused}");
        assert_eq!(session.command("RNFR dir").code(), 350);
        let refused = session.command(&format!("RNTO {name}"));
        assert_eq!(refused.code(), 550, "RNTO {name}: {refused}");
    }
    assert_eq!(count(), before);
}

/// The names of all files below a directory.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            all.extend(walk(&path));
        }
        all.push(path);
    }
    all.sort();
    all
}

#[test]
fn listings_have_no_hidden_names() {
    let place = hidden();
    let mut session = place.login();
    for command in [
        "LIST", "NLST", "MLSD", "NLST *", "LIST *e*", "NLST dir", "LIST dir", "MLSD dir",
    ] {
        let listing = session.list(command).unwrap();
        for name in ["secret", "SECRET", ".git"] {
            assert!(!listing.contains(name), "{command}: {listing}");
        }
        assert!(!listing.is_empty(), "{command}");
    }
    for pattern in ["NLST secret*", "LIST .gi?", "NLST dir/.g*"] {
        assert_eq!(session.list(pattern).unwrap_err().code(), 550, "{pattern}");
    }
    let status = session.command("STAT dir").lines().join("\n");
    assert!(
        !status.contains(".git") && status.contains(" a"),
        "{status}"
    );
    // Denied names are listed.
    assert!(session.list("NLST").unwrap().contains("a.php"));
    assert!(session.list("NLST *").unwrap().contains("a.php"));
}

#[test]
fn denied_names_are_refused() {
    let place = hidden();
    let mut session = place.login();
    session.command("TYPE I");
    for name in ["a.php", "A.PHP", ".b.PHP", "./dir/../a.php"] {
        for command in COMMANDS {
            let refused = session.command(&format!("{command} {name}"));
            assert!(
                matches!(refused.code(), 501 | 550),
                "{command} {name}: {refused}"
            );
        }
    }
    assert_eq!(place.read("a.php"), b"contents");
}

/// A file system that is not made from the stock one has the same fences.
#[test]
fn other_file_systems_are_fenced_too() {
    struct Plain;
    impl AbstractedFS for Plain {}
    let mut place = hidden();
    place.config.set_abstracted_fs(Plain);
    let mut session = place.login();
    for path in [
        "secret.txt",
        "linked",
        "absolute",
        "link/config",
        "a.php",
        "denied",
    ] {
        assert_eq!(session.retr(path).unwrap_err().code(), 550, "{path}");
    }
    assert!(!session.list("NLST").unwrap().contains("secret"));
}

// --- hide_ids

#[test]
fn listings_hide_the_system() {
    let mut place = place();
    place.config.hide_ids = true;
    place.config.hide = vec!["secret".to_owned()];
    place.write("file", b"");
    for (target, link) in [
        ("file", "inside"),
        ("../outside", "above"),
        ("/etc/passwd", "passwd"),
        ("secret", "veiled"),
        ("nowhere", "nothing"),
    ] {
        symlink(target, place.home.path().join(link)).unwrap();
    }
    symlink(
        place.home.path().join("file"),
        place.home.path().join("absolute"),
    )
    .unwrap();
    let mut session = place.login();
    let mut listings = vec![session.list("LIST").unwrap()];
    listings.push(session.command("STAT /").lines().join("\n"));
    for link in ["absolute", "veiled", "inside", "nothing"] {
        listings.push(session.list(&format!("LIST {link}")).unwrap());
    }
    let listings = listings.join("\n");
    assert!(listings.contains("inside -> file") && listings.contains("nothing -> nowhere"));
    let root = place.home.path().to_str().unwrap();
    for shown in ["outside", "/etc", "secret", root, "root"] {
        assert!(!listings.contains(shown), "{shown}: {listings}");
    }
    assert!(listings.contains(" ftp      ftp "), "{listings}");
    session.command("OPTS MLST type;unix.uid;unix.gid;unix.mode;");
    let facts = session.list("MLSD").unwrap() + &session.command("MLST file").lines().join("\n");
    assert!(facts.contains("unix.mode="), "{facts}");
    assert!(
        !facts.contains("unix.uid") && !facts.contains("unix.gid"),
        "{facts}"
    );
}

#[test]
fn owners_are_shown_by_default() {
    let place = place();
    place.write("file", b"");
    let mut session = place.login();
    assert!(!session.list("LIST").unwrap().contains(" ftp      ftp "));
    session.command("OPTS MLST unix.uid;");
    assert!(session.list("MLSD").unwrap().contains("unix.uid="));
}

// --- login_timeout

const LATE: &str = "421 Login timed out.";

#[test]
fn commands_do_not_put_the_login_off() {
    let mut session = place().connect();
    for _ in 0..11 {
        session.advance(5 * SECOND);
        assert_eq!(session.command("NOOP").code(), 200);
        assert_eq!(session.command("USER user").code(), 331);
    }
    session.advance(5 * SECOND - Duration::from_millis(1));
    assert_eq!(session.reply(), None);
    session.advance(Duration::from_millis(1));
    assert_eq!(reply(&mut session), LATE);
    assert!(session.is_closed());
}

#[test]
fn silent_clients_are_closed_too() {
    let mut session = place().connect();
    session.advance(60 * SECOND);
    assert_eq!(reply(&mut session), LATE);
    assert!(session.is_closed());
}

#[test]
fn a_login_ends_the_wait_for_it() {
    let mut session = place().login();
    session.advance(299 * SECOND);
    assert_eq!(session.command("NOOP").code(), 200);
}

#[test]
fn without_a_login_timeout_a_client_may_wait() {
    let mut place = place();
    place.config.login_timeout = None;
    let mut session = place.connect();
    session.advance(299 * SECOND);
    assert_eq!(session.command("NOOP").code(), 200);
}

#[test]
fn the_idle_timeout_comes_first_if_it_is_shorter() {
    let mut place = place();
    place.config.timeout = Some(10 * SECOND);
    let mut session = place.connect();
    session.advance(10 * SECOND);
    assert_eq!(reply(&mut session), "421 Control connection timed out.");
}

/// A client that logs in and out again holds a slot without a user.
#[test]
fn a_logout_begins_the_time_anew() {
    for logout in ["REIN", "USER user"] {
        let mut session = place().login();
        session.advance(100 * SECOND);
        assert!(matches!(session.command(logout).code(), 230 | 331));
        session.advance(59 * SECOND);
        assert_eq!(session.command("NOOP").code(), 200);
        session.advance(SECOND);
        assert_eq!(reply(&mut session), LATE);
        assert!(session.is_closed());
    }
}

#[test]
fn a_transfer_of_the_last_user_may_end_first() {
    let place = place();
    let mut session = place.login();
    let mut data = session.passive();
    assert_eq!(session.command("STOR up").code(), 125);
    assert_eq!(session.command("USER user").code(), 331);
    for _ in 0..7 {
        data.write(b"x");
        session.advance(10 * SECOND);
        assert_eq!(session.reply(), None);
    }
    data.close();
    assert_eq!(reply(&mut session), "226 Transfer complete.");
    session.advance(SECOND);
    assert_eq!(reply(&mut session), LATE);
}

/// The delay after a wrong password is part of the time, and ends with it. The slot stays taken
/// for as long as the delay, so that a client cannot guess faster.
#[test]
fn the_delay_of_a_wrong_password_counts() {
    let mut place = place();
    place.config.login_timeout = Some(10 * SECOND);
    place.config.auth_failed_timeout = 30 * SECOND;
    let mut server = server(place.config.clone(), 1);
    server.set_max_cons_per_ip(1);
    let client = Client::new(&server, "10.0.0.2");
    client.command("USER user");
    assert_eq!(client.command("PASS guess"), "");
    server.set_now(10 * SECOND);
    assert_eq!(client.receive(), LATE);
    drop(client);
    let again = Client::new(&server, "10.0.0.2");
    assert!(again.receive().starts_with("421 "), "the slot is free");
    drop(again);
    server.set_now(30 * SECOND);
    server.settle();
    let again = Client::new(&server, "10.0.0.2");
    assert!(again.receive().starts_with("220 "));
}

/// An authorizer that keeps its verdict.
struct Never(DummyAuthorizer, std::sync::mpsc::Sender<LaterVerdict>);

impl Authorizer for Never {
    fn inner(&self) -> &dyn Authorizer {
        &self.0
    }

    fn authenticate(
        &self,
        _username: &str,
        _password: &str,
        _client: &authorizers::Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        self.1.send(later()).unwrap();
        Verdict::Later
    }
}

#[test]
fn the_answer_of_the_authorizer_counts() {
    let mut place = place();
    let mut users = DummyAuthorizer::new();
    let added = users.add_user("user", "12345", place.home.path(), "elr");
    added.unwrap();
    let (sender, verdicts) = std::sync::mpsc::channel();
    place.config.set_authorizer(Never(users, sender));
    let server = server(place.config.clone(), 1);
    let client = Client::new(&server, "10.0.0.2");
    client.command("USER user");
    assert_eq!(client.command("PASS 12345"), "");
    server.set_now(60 * SECOND);
    assert_eq!(client.receive(), LATE);
    // The answer comes too late.
    verdicts.recv().unwrap().answer(Ok(()));
    assert_eq!(client.receive(), "");
    assert_eq!(server.sessions(), 0);
}

/// A client that begins a TLS handshake and never ends it gets no longer time by that.
#[test]
fn the_tls_handshake_counts() {
    let mut place = place();
    let pair = Pair::new(&["localhost"]);
    let mut tls = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
    tls.handshake_timeout = 50 * SECOND;
    place.config.tls = Some(tls);
    let mut session = Session::new(place.config.clone(), StockHandler).unwrap();
    session.advance(30 * SECOND);
    assert_eq!(session.command("AUTH TLS").code(), 234);
    session.advance(29 * SECOND);
    assert!(!session.is_closed());
    session.advance(SECOND);
    assert!(session.is_closed());
    assert_eq!(session.reply(), None);
}
