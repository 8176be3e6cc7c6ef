//! Replays the transcripts of `tests/transcripts`, which hold the replies of pyftpdlib; those of
//! ftpdlib must be the same. The `README.md` there describes the lines.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../transcripts/client.rs"]
mod client;
#[path = "../transcripts/normal.rs"]
mod normal;
#[path = "../transcripts/script.rs"]
mod script;
#[path = "../transcripts/tree.rs"]
mod tree;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use ftpdlib::FTPConfig;
use ftpdlib::authorizers::{DummyAuthorizer, Perms, UserOptions};
use ftpdlib::proto::encoding::Encoding;

use client::Client;
use normal::Normaliser;
use script::Script;

use super::{URGENT, skipped_over_tls};

use crate::MODE;

/// How many failures of one transcript are shown.
const SHOWN: usize = 8;

/// These transcripts differ with TLS: they show FEAT, HELP, or a server without AUTH.
const WITHOUT_TLS: [&str; 5] = ["features", "help", "latin_1", "not_logged_in", "parameters"];

macro_rules! transcripts {
    ($($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

transcripts! {
    abort,
    arguments,
    chmod,
    data_eprt,
    data_epsv,
    data_pasv,
    data_port,
    delete,
    directories,
    during_transfer,
    epsv_all,
    features,
    foreign_addresses,
    help,
    late_connect,
    late_connect_abor,
    late_connect_epsv,
    late_connect_queue,
    latin_1,
    list,
    list_flags_and_patterns,
    login,
    login_attempts,
    make_and_remove,
    make_not_utf8,
    masquerade,
    messages,
    mlsd_links,
    mlsx,
    nlst,
    not_logged_in,
    odd_names,
    parameters,
    parsing,
    parsing_pipelined,
    parsing_pipelined_pass,
    parsing_too_long,
    permissions_lister,
    permissions_nothing,
    permissions_override,
    permissions_override_less,
    permissions_override_recursive,
    permissions_reader,
    permissions_transfers,
    permissions_uploader,
    port_and_pasv_errors,
    rename,
    restart,
    retrieve,
    retrieve_no_sendfile,
    size_and_times,
    stat,
    store,
}

#[test]
fn every_file_has_a_test() {
    let mut files: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
        .filter(|name| name != "tree")
        .collect();
    files.sort();
    assert_eq!(files, NAMES);
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

fn replay(name: &str) {
    set_umask();
    let file = directory().join(format!("{name}.txt"));
    let script = Script::parse(&std::fs::read_to_string(&file).unwrap());
    let without_tls =
        WITHOUT_TLS.contains(&name) && skipped_over_tls("the test is about a server without TLS");
    if without_tls || script.is_urgent() && skipped_over_tls(URGENT) {
        return;
    }
    let top = tempfile::tempdir().unwrap();
    let top_path = top.path().canonicalize().unwrap();
    let home = top_path.join("home");
    let recent = normal::recent();
    let tree_file = std::fs::read_to_string(directory().join("tree.txt")).unwrap();
    tree::build(&top_path, &tree_file, recent);

    let settings = script.settings.clone();
    let served = home.clone();
    let server = testkit::Server::with(MODE, move |config| configure(config, &served, &settings));
    let normaliser = Normaliser::new(&home, server.address.port(), recent);
    let before = tree::snapshot(&top_path, &normaliser);
    let mut client = Client::new(server.address, normaliser);

    let mut failures = Vec::new();
    for (index, step) in script.steps.iter().enumerate() {
        let result = client.play(step, script.steps.get(index + 1));
        let seen = client.take_seen();
        if seen != step.expected || result.is_err() {
            let place = format!(
                "tests/transcripts/{name}.txt:{}: {}",
                step.number, step.line
            );
            let error = result.as_ref().err().map(ToString::to_string);
            failures.push(difference(&place, &step.expected, &seen, error.as_deref()));
        }
        if result.is_err() {
            break;
        }
    }
    if failures.is_empty() {
        if let Err(err) = client.finish() {
            failures.push(format!("tests/transcripts/{name}.txt: in the end: {err}"));
        }
        let after = tree::snapshot(&top_path, client.normaliser());
        let changes = tree::changes(&before, &after);
        if changes != script.tree {
            let place = format!("tests/transcripts/{name}.txt: the tree in the end");
            failures.push(difference(&place, &script.tree, &changes, None));
        }
    }
    let count = failures.len();
    failures.truncate(SHOWN);
    assert!(count == 0, "{count} differences:\n{}", failures.join("\n"));
}

/// Shows both sides; lines that the other side does not have are marked.
fn difference(place: &str, expected: &[String], seen: &[String], error: Option<&str>) -> String {
    let mut text = format!("{place}\n");
    for line in expected {
        let mark = if seen.contains(line) { ' ' } else { '-' };
        let _ = writeln!(text, "  expected {mark} {line}");
    }
    for line in seen {
        let mark = if expected.contains(line) { ' ' } else { '+' };
        let _ = writeln!(text, "       got {mark} {line}");
    }
    if let Some(error) = error {
        let _ = writeln!(text, "       got + {error}");
    }
    text
}

/// The settings of a transcript.
fn configure(config: &mut FTPConfig, home: &Path, settings: &[(String, String)]) {
    let mut users = vec![user("user", "elradfmwMT")];
    let mut overrides = Vec::new();
    config.banner = "ready.".to_owned();
    config.auth_failed_timeout = Duration::from_millis(10);
    for (key, value) in settings {
        let value = String::from_utf8(script::unescape(value)).unwrap();
        let (name, rest) = value.split_once(' ').unwrap_or((&value, ""));
        match key.as_str() {
            "banner" => config.banner = value,
            "max_login_attempts" => config.max_login_attempts = value.parse().unwrap(),
            "permit_foreign_addresses" => config.permit_foreign_addresses = value == "yes",
            "masquerade_address" => config.masquerade_address = Some(value),
            "encoding" => config.encoding = Encoding::by_name(&value).unwrap(),
            "use_sendfile" => config.use_sendfile = value == "yes",
            "user" => users.push(user(name, rest)),
            "anonymous" => users.push(user("anonymous", &value)),
            "msg_login" => options(&mut users, name).msg_login = rest.to_owned(),
            "msg_quit" => options(&mut users, name).msg_quit = rest.to_owned(),
            "override" => overrides.push(value),
            _ => panic!("unknown setting: {key}"),
        }
    }
    let authorizer = DummyAuthorizer::new();
    for (name, options) in users {
        if name == "anonymous" {
            authorizer.add_anonymous_with(home, options).unwrap();
        } else {
            let password = testkit::PASSWORD;
            authorizer
                .add_user_with(name, password, home, options)
                .unwrap();
        }
    }
    for value in overrides {
        let words: Vec<&str> = value.split(' ').collect();
        let recursive = words.get(3) == Some(&"recursive");
        authorizer
            .override_perm(words[0], home.join(words[1]), words[2], recursive)
            .unwrap();
    }
    config.set_authorizer(authorizer);
}

fn user(name: &str, perm: &str) -> (String, UserOptions) {
    let options = UserOptions {
        perm: perm.parse::<Perms>().unwrap(),
        ..UserOptions::default()
    };
    (name.to_owned(), options)
}

fn options<'a>(users: &'a mut [(String, UserOptions)], name: &str) -> &'a mut UserOptions {
    let found = users.iter_mut().find(|(user, _)| user == name);
    &mut found.unwrap().1
}

/// Lets clients create files with the modes of the recording.
#[allow(unsafe_code, reason = "std cannot set it")]
fn set_umask() {
    static ONCE: Once = Once::new();
    // SAFETY: `umask` takes and returns a number and cannot fail.
    ONCE.call_once(|| unsafe {
        libc::umask(0o022);
    });
}
