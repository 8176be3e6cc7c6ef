//! Fences: settings that keep clients from something. Each test is the attack.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ftpdlib::filesystems::AbstractedFS;
use ftpdlib::proto::network::Network;

use super::place::{Place, place};
use super::server::{Client, read, server};

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
        ("nope/../../../../etc/passwd", "missing"),
        ("sub/../file", "there"),
    ] {
        symlink(target, place.home.path().join(link)).unwrap();
    }
    // A target that leaves the home and comes back has its name in it.
    let name = place.home.path().file_name().unwrap().to_str().unwrap();
    std::fs::create_dir(place.home.path().join("sub")).unwrap();
    symlink(format!("../{name}/file"), place.home.path().join("back")).unwrap();
    let below = |link: &str| place.home.path().join("sub").join(link);
    symlink("../file", below("up")).unwrap();
    symlink(format!("../../{name}/file"), below("around")).unwrap();
    symlink(
        place.home.path().join("file"),
        place.home.path().join("absolute"),
    )
    .unwrap();
    let mut session = place.login();
    let mut listings = vec![session.list("LIST").unwrap()];
    listings.push(session.command("STAT /").lines().join("\n"));
    for link in [
        "absolute",
        "veiled",
        "inside",
        "nothing",
        "sub",
        "sub/around",
    ] {
        listings.push(session.list(&format!("LIST {link}")).unwrap());
    }
    let listings = listings.join("\n");
    for shown in [
        "inside -> file",
        "nothing -> nowhere",
        "there -> sub/../file",
        "up -> ../file",
    ] {
        assert!(listings.contains(shown), "{shown}: {listings}");
    }
    for shown in ["outside", "/etc", "secret", name, "root"] {
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
