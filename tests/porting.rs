//! `PORTING.md` has every public name of pyftpdlib, and every path of this crate that it
//! names exists.
//!
//! The names are in `porting/public_names.txt`, which the script next to it makes. The
//! compiler checks the paths: `porting/paths.rs` has a line for each.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::{env, fs};

#[allow(
    dead_code,
    elided_lifetimes_in_paths,
    unused_imports,
    unused_qualifications,
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "it must compile and nothing more"
)]
mod paths {
    use std::net::{SocketAddr, TcpListener};
    use std::time::Duration;
    use std::{io, vec};

    use ftpdlib::authorizers::DummyAuthorizer;
    use ftpdlib::filesystems::{AbstractedFS, FSState, LocalFS};
    use ftpdlib::handlers::{StockDTPHandler, StockHandler};
    use ftpdlib::ioloop::{Acceptor, AsyncChat, ChatChannel, ChatHandler, IOLoop, Io};
    use ftpdlib::proto::command::ProtoCmds;
    use ftpdlib::{DataChannel, FSError, FTPConfig, FTPSession};
    use mio::net::TcpStream;

    type Factory<H> = fn(SocketAddr) -> H;
    type Str = &'static str;
    type Operation = fn(&dyn AbstractedFS, &mut FSState) -> Result<(), FSError>;

    struct Chat;
    impl ChatHandler for Chat {
        fn found_terminator(&mut self, _: &mut AsyncChat, _: &[u8]) {}
    }

    include!("porting/paths.rs");
}

const GUIDE: &str = include_str!("../PORTING.md");
const NAMES: &str = include_str!("porting/public_names.txt");
const PATHS: &str = include_str!("porting/paths.rs");

/// What the paths of the guide may begin with.
const ROOTS: [&str; 3] = ["ftpdlib::", "log::", "std::"];

/// Traits, whose methods are named through the trait object.
const TRAITS: [&str; 8] = [
    "AbstractedFS",
    "Authorizer",
    "Channel",
    "ChatHandler",
    "DTPHandler",
    "FSFile",
    "FTPHandler",
    "Producer",
];

/// Generic types, with the arguments to check them with.
const GENERIC: [(&str, &str); 1] = [(
    "BufferedIteratorProducer",
    "<vec::IntoIter<io::Result<Vec<u8>>>>",
)];

/// Generic functions, with the signatures to check them with.
const SIGNATURES: &str = "
DataChannel::end = fn(&mut DataChannel, Str)
FTPConfig::set_abstracted_fs = fn(&mut FTPConfig, LocalFS)
FTPConfig::set_authorizer = fn(&mut FTPConfig, DummyAuthorizer)
FTPConfig::set_dtp_handler = fn(&mut FTPConfig, fn() -> StockDTPHandler)
FTPServer::bind = fn(&str, FTPConfig, Factory<StockHandler>) -> _
FTPServer::bind_with = fn(&str, u16, i32, FTPConfig, Factory<StockHandler>) -> _
FTPServer::from_listener = fn(TcpListener, FTPConfig, Factory<StockHandler>) -> _
FTPSession::end_transfer = fn(&mut FTPSession, Str)
FTPSession::log = fn(&FTPSession, Str)
FTPSession::log_at = fn(&FTPSession, log::Level, Str)
FTPSession::logline = fn(&FTPSession, Str)
FTPSession::respond = fn(&mut FTPSession, Str)
FTPSession::respond_at = fn(&mut FTPSession, log::Level, Str)
FTPSession::respond_w_warning = fn(&mut FTPSession, Str)
FTPSession::run_as_current_user = fn(&FTPSession, fn(&FTPSession))
FTPSession::set_cwd = fn(&mut FTPSession, Str) -> _
FTPSession::with_fs = fn(&mut FTPSession, Operation) -> _
TlsConfig::new = fn(Str) -> _
authorizers::DummyAuthorizer::add_anonymous = fn(&DummyAuthorizer, Str) -> _
authorizers::DummyAuthorizer::add_anonymous_with = fn(&DummyAuthorizer, Str, _) -> _
authorizers::DummyAuthorizer::add_user = fn(&DummyAuthorizer, Str, Str, Str, Str) -> _
authorizers::DummyAuthorizer::add_user_with = fn(&DummyAuthorizer, Str, Str, Str, _) -> _
authorizers::DummyAuthorizer::override_perm = fn(&DummyAuthorizer, &str, Str, Str, bool) -> _
authorizers::DummyAuthorizer::remove_override = fn(&DummyAuthorizer, &str, Str) -> bool
authorizers::DummyAuthorizer::set_home = fn(&DummyAuthorizer, &str, Str) -> _
authorizers::DummyAuthorizer::set_msg_login = fn(&DummyAuthorizer, &str, Str) -> _
authorizers::DummyAuthorizer::set_msg_quit = fn(&DummyAuthorizer, &str, Str) -> _
authorizers::DummyAuthorizer::set_password = fn(&DummyAuthorizer, &str, Str) -> _
authorizers::DummyAuthorizer::set_perm = fn(&DummyAuthorizer, &str, Str) -> _
ioloop::Acceptor::bind = fn(&str, u16, Factory<Chat>) -> _
ioloop::Acceptor::local_addr = fn(&Acceptor<Factory<Chat>>) -> _
ioloop::Connector::connect = fn(&str, u16, Duration, Chat) -> _
ioloop::IOLoop::add = fn(&mut IOLoop, ChatChannel<Chat>) -> _
ioloop::IOLoop::call_every = fn(&mut IOLoop, Duration, fn(&mut Io<'_>)) -> _
ioloop::IOLoop::call_later = fn(&mut IOLoop, Duration, fn(&mut Io<'_>)) -> _
ioloop::Io::add = fn(&mut Io<'static>, ChatChannel<Chat>) -> _
ioloop::Io::call_every = fn(&mut Io<'static>, Duration, fn(&mut Io<'_>)) -> _
ioloop::Io::call_later = fn(&mut Io<'static>, Duration, fn(&mut Io<'_>)) -> _
ioloop::Io::deregister = fn(&mut Io<'static>, &mut TcpStream) -> _
ioloop::Io::register = fn(&mut Io<'static>, &mut TcpStream, u8, _) -> _
ioloop::Io::reregister = fn(&mut Io<'static>, &mut TcpStream, u8, _) -> _
producers::BufferedIteratorProducer::new = fn(vec::IntoIter<io::Result<Vec<u8>>>) -> _
proto::command::ProtoCmds::insert = fn(&mut ProtoCmds, Str, _) -> _
";

#[test]
fn every_public_name_of_pyftpdlib_has_one_row() {
    let known: BTreeSet<_> = NAMES.lines().map(str::to_owned).collect();
    let mut seen = BTreeSet::new();
    for name in rows().flat_map(|row| row.names) {
        assert!(known.contains(&name), "pyftpdlib has no {name}");
        assert!(seen.insert(name.clone()), "{name} has two rows");
    }
    let missing: Vec<_> = known.difference(&seen).collect();
    assert!(missing.is_empty(), "PORTING.md lacks {missing:#?}");
}

#[test]
fn every_row_says_where_or_that_it_is_not_ported() {
    for Row { names, place } in rows() {
        let is_path = |span: &str| ROOTS.iter().any(|root| span.starts_with(root));
        let ported = spans(place).count() > 0 && spans(place).all(is_path);
        assert!(
            ported || place == "not ported",
            "{names:?}: neither paths nor \"not ported\": {place}"
        );
    }
}

/// A path that exists may still be the wrong one. Commands and callbacks, at least, must
/// have their own name here too.
#[test]
fn commands_and_callbacks_are_under_their_names() {
    let mut seen = 0;
    for Row { names, place } in rows() {
        for name in names.iter().filter_map(|name| name.rsplit('.').next()) {
            let method = name.to_lowercase();
            let command = method.strip_prefix("ftp_");
            if command.is_none() && !method.starts_with("on_") {
                continue;
            }
            let mut paths = spans(place);
            let expected = format!("ftpdlib::FTPHandler::{method}");
            assert_eq!(paths.next(), Some(expected.as_str()), "{name}");
            if let Some(stock) = paths.next() {
                let (_, stock) = stock.rsplit_once("::").unwrap();
                // `type` is a keyword of Rust.
                assert_eq!(Some(stock.trim_end_matches('_')), command, "{name}");
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn the_compiler_knows_every_path() {
    let wanted = checks();
    if env::var_os("UPDATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/porting/paths.rs");
        fs::write(file, wanted).unwrap();
        return;
    }
    assert!(
        PATHS == wanted,
        "tests/porting/paths.rs does not match PORTING.md. Run: {COMMAND}"
    );
}

/// Makes `paths.rs` again. It is emptied first, since it may have paths that no longer compile.
const COMMAND: &str = ": > tests/porting/paths.rs && UPDATE=1 cargo test --test porting";

/// A row of a table under a heading that names a module or class of pyftpdlib.
struct Row<'a> {
    names: Vec<String>,
    place: &'a str,
}

fn rows() -> impl Iterator<Item = Row<'static>> {
    let mut scope = "";
    prose().filter_map(move |line| {
        if line.starts_with("## ") {
            scope = spans(line).next().unwrap_or_default();
        }
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let names = spans(cells.next()?).map(|name| format!("{scope}.{name}"));
        let names: Vec<_> = names.collect();
        let is_row = !scope.is_empty() && !names.is_empty();
        let place = cells.next().unwrap_or_default();
        is_row.then_some(Row { names, place })
    })
}

/// The lines of the guide without its examples.
fn prose() -> impl Iterator<Item = &'static str> {
    let mut in_example = false;
    GUIDE.lines().filter(move |line| {
        let fence = line.starts_with("```");
        in_example ^= fence;
        !in_example && !fence
    })
}

/// The texts between backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The text of `paths.rs`.
fn checks() -> String {
    let paths: BTreeSet<_> = prose()
        .flat_map(spans)
        .filter(|span| ROOTS.iter().any(|root| span.starts_with(root)))
        .filter(|span| !span.contains(['!', '(']))
        .collect();
    let (items, members): (Vec<_>, Vec<_>) =
        paths.into_iter().partition(|path| owner(path).is_none());
    let mut text = format!("// Made from PORTING.md:\n// {COMMAND}\n\n");
    for item in items {
        let _ = writeln!(text, "use {item} as _;");
    }
    text.push_str("\nfn members() {\n");
    for member in members {
        let _ = writeln!(text, "    {}", check(member));
    }
    text.push_str("}\n");
    text
}

/// The type in a path that names a member of a type. Types begin with a capital.
fn owner(path: &str) -> Option<&str> {
    let (owner, _) = path.split_once('.').or_else(|| path.rsplit_once("::"))?;
    name(owner).starts_with(char::is_uppercase).then_some(owner)
}

fn name(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// A statement that compiles if the member exists.
fn check(path: &str) -> String {
    let owner = owner(path).unwrap_or_default();
    if let Some((_, field)) = path.split_once('.') {
        let generic = GENERIC.iter().find(|(known, _)| *known == name(owner));
        let arguments = generic.map_or("", |(_, arguments)| arguments);
        return format!("let _ = |x: &{owner}{arguments}| {{ let _ = &x.{field}; }};");
    }
    let mut signatures = SIGNATURES.lines().filter_map(|line| line.split_once(" = "));
    let signature = signatures.find(|(known, _)| path.strip_prefix("ftpdlib::") == Some(known));
    if let Some((_, signature)) = signature {
        format!("let _: {signature} = {path};")
    } else if TRAITS.contains(&name(owner)) {
        format!("let _ = <dyn {owner}>::{};", name(path))
    } else {
        format!("let _ = {path};")
    }
}
