//! Settings, users and homes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::draw::Draw;
use super::scene::{Answers, Encoding, Home, Kind, Node, Settings, Tls, Tree, User};

pub fn settings(draw: &mut Draw, tls: bool) -> Settings {
    let address = match draw.percent(12) {
        true => SocketAddr::from((Ipv6Addr::LOCALHOST, 2121)),
        false => SocketAddr::from((Ipv4Addr::LOCALHOST, 2121)),
    };
    let mut time = |seconds: &[u64]| Duration::from_secs(*draw.of(seconds));
    let timeout = time(&[300, 300, 300, 60, 10]);
    let data_timeout = time(&[300, 300, 60, 8, 0]);
    let passive_timeout = time(&[30, 30, 5, 1]);
    let active_timeout = time(&[30, 30, 5, 1]);
    let auth_failed_timeout = time(&[3, 3, 1, 0]);
    let limited = draw.percent(20);
    let mut limit = |most: usize| match limited && draw.percent(50) {
        true => draw.within(1, most),
        false => 0,
    };
    let (max_cons, max_cons_per_ip, max_cons_per_user) = (limit(40), limit(4), limit(3));
    let mut settings = Settings {
        address,
        banner: match draw.percent(20) {
            true => {
                "A banner that is longer than seventy-five characters makes a reply of two lines."
                    .to_owned()
            }
            false => "ready.".to_owned(),
        },
        timeout,
        login_timeout: Duration::ZERO,
        data_timeout,
        passive_timeout,
        active_timeout,
        auth_failed_timeout,
        max_login_attempts: u32::try_from(draw.within(1, 3)).unwrap_or(3),
        max_cons,
        max_cons_per_ip,
        max_cons_per_user,
        permit_foreign: draw.percent(10),
        permit_privileged: draw.percent(10),
        encoding: *draw.weighted(&[
            (70, Encoding::Utf8),
            (10, Encoding::Utf8Strict),
            (20, Encoding::Latin1),
        ]),
        tls: match tls {
            false => Tls::Off,
            true => *draw.of(&[Tls::On, Tls::On, Tls::ControlRequired, Tls::AllRequired]),
        },
        throttle: match draw.percent(6) {
            true => (*draw.of(&[0, 3000, 50_000]), *draw.of(&[0, 3000, 50_000])),
            false => (0, 0),
        },
        authorizer: match draw.below(10) {
            0 | 1 => Answers::Job,
            2 => Answers::Later(Duration::from_millis(draw.below(2500) as u64)),
            _ => Answers::AtOnce,
        },
        upload_lock: !draw.percent(10),
        tick: Duration::from_micros(*draw.of(&[0, 0, 0, 1, 20, 400])),
    };
    settings.login_timeout = Duration::from_secs(*draw.of(&[60, 60, 60, 300, 10, 2, 0]));
    settings
}

/// Letters of permissions.
const PERMS: &[(usize, &str)] = &[
    (60, "elradfmwMT"),
    (5, "elr"),
    (4, "elrafmwMT"),
    (4, "elradmwMT"),
    (4, "elradfmwM"),
    (4, "elrw"),
    (3, "elradfmw"),
    (3, "el"),
    (3, "raw"),
    (2, "elw"),
    (2, ""),
];

pub fn users_and_homes(draw: &mut Draw, count: usize, private: bool) -> (Vec<User>, Vec<Home>) {
    let (mut users, mut homes) = (Vec::new(), Vec::new());
    for number in 0..count {
        let (user, mut home) = user_and_home(draw, number);
        home.private = private;
        if !private {
            let file = Node {
                kind: Kind::File(content(draw, &home.marker)),
                mode: 0o644,
                mtime: 1_500_000_000,
            };
            home.tree.insert(SHARED.into(), file);
        }
        users.push(user);
        homes.push(home);
    }
    (users, homes)
}

pub fn user_and_home(draw: &mut Draw, number: usize) -> (User, Home) {
    let marker = format!("zqM{number}x");
    let user = User {
        name: format!("user{number}"),
        password: format!("secret {number}"),
        home: number,
        perms: (*draw.weighted(PERMS)).to_owned(),
        msg_login: match draw.percent(10) {
            true => "Login successful, and a text that is longer than seventy-five characters in all.",
            false => "Login successful.",
        }
        .to_owned(),
        msg_quit: match draw.percent(10) {
            true => "Goodbye, says the server, in more than seventy-five characters, that is, at length.",
            false => "Goodbye.",
        }
        .to_owned(),
    };
    let home = Home {
        root: format!("/home/{number}"),
        tree: tree(draw, &marker),
        private: true,
        marker,
    };
    (user, home)
}

/// The file to which all clients of a shared home write now and then.
pub const SHARED: &str = "/shared";

/// Names of files and directories.
pub const NAMES: &[(usize, &str)] = &[
    (20, "a"),
    (12, "b.txt"),
    (10, "dir"),
    (8, "file.bin"),
    (6, "with space"),
    (4, " lead"),
    (4, "trail "),
    (5, "caf\u{e9}"),
    (4, "quo\"te"),
    (3, "semi;colon=x"),
    (3, "\u{65e5}\u{672c}"),
    (2, "star*.txt"),
    (2, "x-y_z"),
    (1, "226 done"),
    (1, "tab\tbed"),
    (1, "esc\u{1b}[2J"),
];

fn tree(draw: &mut Draw, marker: &str) -> Tree {
    let mut tree = Tree::new();
    let mut dirs = vec![String::new()];
    for number in 0..draw.within(0, 14) {
        let parent = draw.of(&dirs).clone();
        let mut name = (*draw.weighted(NAMES)).to_owned();
        if draw.percent(30) {
            name = format!("{name}{number}");
        }
        if draw.percent(25) {
            name.push_str(marker);
        }
        let path = format!("{parent}/{name}");
        if tree.contains_key(path.as_bytes()) {
            continue;
        }
        let kind = match draw.below(10) {
            0..3 => {
                dirs.push(path.clone());
                Kind::Dir
            }
            3 => Kind::Link(link(draw, &tree)),
            _ => Kind::File(content(draw, marker)),
        };
        let node = Node {
            kind,
            mode: *draw.of(&[0o644, 0o600, 0o755, 0o640]),
            mtime: *draw.of(&[1_500_000_000, 1_700_000_000, 951_782_400, -86_400]),
        };
        tree.insert(path.into_bytes(), node);
    }
    if draw.percent(1) && draw.below(4) == 0 {
        // More than a listing sorts at once.
        for number in 0..draw.within(1000, 3000) {
            let node = Node {
                kind: Kind::File(Vec::new()),
                mode: 0o644,
                mtime: 1_500_000_000,
            };
            tree.insert(format!("/n{number}").into_bytes(), node);
        }
    }
    if draw.percent(4) {
        // A name that is in no encoding.
        let node = Node {
            kind: Kind::File(content(draw, marker)),
            mode: 0o644,
            mtime: 1_500_000_000,
        };
        tree.insert(b"/raw-\xe9\xff".to_vec(), node);
    }
    tree
}

fn link(draw: &mut Draw, tree: &Tree) -> Vec<u8> {
    let inside: Vec<&Vec<u8>> = tree.keys().collect();
    match draw.below(8) {
        0 => b"nowhere".to_vec(),
        1 => b"../../../etc".to_vec(),
        2 => b"/home/9999".to_vec(),
        3 => b"..".to_vec(),
        _ if !inside.is_empty() => {
            // Relative to the root of the home, right for links there.
            let path: &&Vec<u8> = draw.of(&inside);
            path[1..].to_vec()
        }
        _ => b"a".to_vec(),
    }
}

/// The sizes of files: weight, least, most.
const SIZES: &[(usize, (usize, usize))] = &[
    (10, (0, 0)),
    (50, (1, 200)),
    (25, (201, 3000)),
    (10, (3001, 20_000)),
    (3, (20_001, 120_000)),
];

/// Bytes in which a lost or doubled piece shows, with many line ends.
pub fn content(draw: &mut Draw, marker: &str) -> Vec<u8> {
    let (least, most) = *draw.weighted(SIZES);
    let size = draw.within(least, most);
    let mut bytes = Vec::with_capacity(size + 40);
    if size > 12 {
        bytes.extend_from_slice(marker.as_bytes());
    }
    // How often a line ends, and how.
    let ends: &[&[u8]] = match draw.below(5) {
        0 => &[],
        1 => &[b"\n"],
        2 => &[b"\r\n", b"\n", b"\r"],
        3 => &[b"\r\r\n\n", b"\n\n\r", b"\r\n"],
        _ => &[b"\r\n"],
    };
    let binary = ends.is_empty();
    while bytes.len() < size {
        let word = draw.u64();
        if binary {
            bytes.extend_from_slice(&word.to_le_bytes());
            continue;
        }
        let letters = word.to_le_bytes().map(|byte| b'a' + byte % 16);
        bytes.extend_from_slice(&letters);
        if word % 5 < 2 {
            let at = usize::try_from(word >> 32).unwrap_or(0) % ends.len();
            bytes.extend_from_slice(ends[at]);
        }
    }
    bytes.truncate(size);
    bytes
}
