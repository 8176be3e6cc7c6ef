//! `PORTING.md`: it has every public name of pyftpdlib, and what it names of this
//! crate is there.
//!
//! The names are in `porting/public_names.txt`, made by the script beside it. That the
//! paths are there is for the compiler to say: `porting/paths.rs` has a line for each.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::{env, fs};

#[allow(unused_imports, dead_code, clippy::all, reason = "it has to compile")]
mod paths {
    use std::any::Any;
    use std::borrow::Cow;
    use std::io;
    use std::net::SocketAddr;
    use std::path::PathBuf;
    use std::time::Duration;

    use ftpdlib::authorizers::DummyAuthorizer;
    use ftpdlib::filesystems::LocalFS;
    use ftpdlib::handlers::{StockDTPHandler, StockHandler};
    use ftpdlib::ioloop::{AsyncChat, ChatHandler, Io};
    use ftpdlib::{FTPConfig, FTPSession};

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

/// Whose methods are named through the trait object.
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

/// Types that need to be told what they consist of.
const GENERIC: [(&str, &str); 1] = [(
    "BufferedIteratorProducer",
    "<std::vec::IntoIter<io::Result<Vec<u8>>>>",
)];

/// Functions that need to be told what they are called with.
const SIGNATURES: [(&str, &str); 0] = [];

#[test]
fn every_public_name_of_pyftpdlib_has_one_row() {
    let known: BTreeSet<_> = NAMES.lines().map(str::to_owned).collect();
    let mut told = BTreeSet::new();
    for name in rows().flat_map(|row| row.names) {
        assert!(known.contains(&name), "pyftpdlib has no {name}");
        assert!(told.insert(name.clone()), "{name} is there twice");
    }
    let missing: Vec<_> = known.difference(&told).collect();
    assert!(missing.is_empty(), "PORTING.md lacks {missing:#?}");
}

#[test]
fn every_row_says_where_or_that_it_is_not_ported() {
    for Row { names, place } in rows() {
        let is_path = |span: &str| ROOTS.iter().any(|root| span.starts_with(root));
        let ported = spans(place).count() > 0 && spans(place).all(is_path);
        assert!(
            ported || place == "not ported",
            "{names:?} are told to be: {place}"
        );
    }
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
        "tests/porting/paths.rs is not that of PORTING.md. Make it anew: {COMMAND}"
    );
}

/// It is emptied first, since it may have paths that do not compile any more.
const COMMAND: &str = ": > tests/porting/paths.rs && UPDATE=1 cargo test --test porting";

/// A row of a table under a heading that names something of pyftpdlib.
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

/// The lines of the guide without those of examples.
fn prose() -> impl Iterator<Item = &'static str> {
    let mut in_example = false;
    GUIDE.lines().filter(move |line| {
        let fence = line.starts_with("```");
        in_example ^= fence;
        !in_example && !fence
    })
}

/// What stands between backticks.
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

/// The type of a path that names a member of one: types have capitals.
fn owner(path: &str) -> Option<&str> {
    let (owner, _) = path.split_once('.').or_else(|| path.rsplit_once("::"))?;
    name(owner).starts_with(char::is_uppercase).then_some(owner)
}

fn name(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// A statement that compiles if there is such a member.
fn check(path: &str) -> String {
    let owner = owner(path).unwrap_or_default();
    if let Some((_, field)) = path.split_once('.') {
        let generic = GENERIC.iter().find(|(known, _)| *known == name(owner));
        let arguments = generic.map_or("", |(_, arguments)| arguments);
        return format!("let _ = |x: &{owner}{arguments}| {{ let _ = &x.{field}; }};");
    }
    let method = name(path);
    if let Some((_, signature)) = SIGNATURES.iter().find(|(known, _)| path.ends_with(known)) {
        format!("let _: {signature} = {path};")
    } else if TRAITS.contains(&name(owner)) {
        format!("let _ = <dyn {owner}>::{method};")
    } else {
        format!("let _ = {path};")
    }
}
