//! Ways around the rules, which the checker must report.

use crate::made_up::{floors, tree};
use crate::names::Names;
use crate::rules::{self, Rule};
use crate::source::Sources;
use crate::table::Floors;

/// A trait in `top`, and code of `low` that uses it.
fn disk(low: &str) -> Vec<String> {
    let top = "pub trait Disk {} pub type Drive = dyn Disk; pub struct Top(Arc<dyn Disk>);";
    let names = tree(&[("src/low.rs", low), ("src/top.rs", top)]);
    rules::invariants(&names, &[Rule::HeldOnlyBy(&["Disk"], &["top"])])
}

#[test]
fn a_rename_hides_no_type() {
    let held = ["src/low.rs:2 holds Disk, which only top may"];
    for import in [
        "use crate::top::Disk as A;",
        "use crate::top::Drive as A;",
        "use crate::top::{self, Disk as B}; use self::B as A;",
    ] {
        assert_eq!(disk(&format!("{import}\nstruct X(Arc<dyn A>);")), held);
        assert_eq!(disk(&format!("{import}\nfn f(disk: &dyn A) {{}}")), [""; 0]);
    }
    assert_eq!(disk("\nstruct X(Box<crate::top::Drive>);"), held);
}

#[test]
fn a_macro_hides_no_type() {
    let held = ["src/low.rs:2 holds Disk, which only top may"];
    for code in [
        "Arc<dyn crate::top::Disk>",
        "Box<dyn Disk + Send>",
        "Arc<dyn A>",
    ] {
        let import = "use crate::top::{Disk, Disk as A};";
        assert_eq!(disk(&format!("{import}\nm!{{ struct X({code}); }}")), held);
    }
    let lent = "m!{ fn f(a: &dyn Disk, b: &mut dyn Disk, c: &'a dyn Disk, d: &'a mut dyn Disk) }";
    assert_eq!(disk(lent), [""; 0]);
}

#[test]
fn a_rename_hides_no_name() {
    let low = "use crate::mid::Other;\nfn f(x: Other) {}";
    let mid = "pub use crate::top::Top as Other;";
    let names = tree(&[("src/low.rs", low), ("src/mid.rs", mid)]);
    assert_eq!(
        rules::invariants(&names, &[Rule::NamedOnlyBy(&["Top"], &["mid", "top"])]),
        [
            "src/low.rs:1 names Top, which only mid, top may",
            "src/low.rs:2 names Top, which only mid, top may",
        ]
    );
}

#[test]
fn a_method_called_as_a_function_is_called() {
    let calls = |low: &str| {
        let names = tree(&[("src/low.rs", low), ("src/top.rs", "fn f() { x.watch(); }")]);
        rules::invariants(&names, &[Rule::CalledOnlyBy(&["watch"], &["top"])])
    };
    for code in [
        "H::watch(h, 1)",
        "Source::watch(&mut s)",
        "<H as Source>::watch(h)",
        "watch(h)",
        "use crate::top::watch as look; look(h)",
        "x.map(H::watch)",
        "m!(h.watch(1))",
        "m!(a, H::watch(h))",
    ] {
        assert_eq!(
            calls(&format!("fn f() {{ {code} }}")),
            ["src/low.rs:1 calls watch, which only top may"],
            "{code}"
        );
    }
    let others =
        "m! { fn watch(&self); }\nfn watch() {}\nfn f(watch: u8) { g(watch); s.watch = 1; }";
    assert_eq!(calls(others), [""; 0]);
}

#[test]
fn a_group_or_a_glob_in_a_macro_is_read() {
    let up = "src/low.rs:1 imports src/top.rs (floor 3) from floor 1:";
    for (tokens, paths) in [
        ("use crate::top::{Top};", ["crate::top::Top"].as_slice()),
        ("use crate::top::*;", &["crate::top::*"]),
        (
            "use crate::top::{Top as T, self};",
            &["crate::top", "crate::top::Top"],
        ),
        (
            "use crate::{low::*, top::{TOP, top}};",
            &["crate::top::TOP", "crate::top::top"],
        ),
        ("$v use $crate::{top::*};", &["crate::top::*"]),
    ] {
        let expected: Vec<_> = paths.iter().map(|path| format!("{up} {path}")).collect();
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        floors(&[("src/low.rs", &format!("m!{{ {tokens} }}"))], &expected);
    }
    floors(
        &[("src/top.rs", "m!{ use crate::{low::*, mid::{Mid, mid}}; }")],
        &[],
    );
    floors(&[("src/low.rs", "m!{ use std::top::{Top}; 2 * top }")], &[]);
}

/// What is reported of `low`, below a face `many` that has no floor itself.
fn below_a_face(low: &str) -> Vec<String> {
    let table = "//! # The floors\n//!\n//! | module | knows | does not know |\n//! |---|---|---|\n\
                 //! | `low` | a | b |\n//! | `many::one` | a | b |\n//! | `many::two` | a | b |\n";
    let names = Names::of(
        &Sources::made_up(&[
            ("src/lib.rs", "mod low; mod many;"),
            ("src/low.rs", low),
            (
                "src/many/mod.rs",
                "pub mod one; pub mod two; pub use one::One;",
            ),
            ("src/many/one.rs", "pub struct One;"),
            ("src/many/two.rs", "use crate::many; struct Two(many::One);"),
        ]),
        "src/lib.rs",
    );
    rules::floors(&names, &Floors::parse(table).unwrap())
}

#[test]
fn a_face_stands_on_the_lowest_floor_inside() {
    let face = "src/low.rs:1 imports src/many/mod.rs (floors from 2) from floor 1:";
    let one = "src/low.rs:1 imports src/many/one.rs (floor 2) from floor 1:";
    assert_eq!(
        below_a_face("use crate::many;"),
        [format!("{face} use crate::many")]
    );
    assert_eq!(
        below_a_face("m!{ use crate::many::{One}; }"),
        [format!("{one} crate::many::One")]
    );
    assert_eq!(
        below_a_face("m!{ crate::many }"),
        [format!("{face} crate::many")]
    );
    assert_eq!(
        below_a_face("m!{ use crate::{many}; }"),
        [format!("{face} crate::many")]
    );
    let all = below_a_face("m!{ use crate::many::*; }");
    assert!(all.contains(&format!("{one} crate::many::*")), "{all:?}");
}

#[test]
fn no_fragment_of_a_macro_hides_a_module() {
    let hides = |path: &str| {
        let text = "hides what it imports";
        format!("src/low.rs:1 {text}: {path}::$; name the module in the macro")
    };
    for (tokens, path) in [
        ("crate::$a::$b", "crate"),
        ("$crate::$a::b()", "crate"),
        ("super::$a", "super"),
        ("use crate::{$a::B};", "crate"),
    ] {
        let low = format!("macro_rules! m {{ ($a:ident) => {{ {tokens} }} }}");
        assert_eq!(below_a_face(&low), [hides(path)], "{tokens}");
    }
    let low = "macro_rules! m { ($a:ident) => { crate::many::$a } }";
    assert!(below_a_face(low).contains(&hides("crate::many")));
    // An item of a module, something of another crate, and a method.
    let low = "pub fn f() {} macro_rules! m { ($a:ident) => { crate::low::$a; mio::$a; self.$a } }";
    assert_eq!(below_a_face(low), [""; 0]);
}

#[test]
fn what_cannot_be_followed_is_reported() {
    let report = |low: &str| rules::unread(&tree(&[("src/low.rs", low)]));
    for (code, what) in [
        ("extern crate self as me;", "extern crate self"),
        ("extern crate mio;", "extern crate mio"),
        ("use ::ftpdlib::top::Top;", "::ftpdlib"),
        ("struct S(::ftpdlib::top::Top);", "::ftpdlib"),
        ("fn f() { ::ftpdlib::top::top() }", "::ftpdlib"),
        ("fn f() { m!(a, ::ftpdlib::top::top()) }", "::ftpdlib"),
        ("m!{ use ::ftpdlib::top::Top; }", "::ftpdlib"),
        ("m!{ extern crate self as me; }", "extern crate"),
        ("include!(\"other.rs\");", "include!"),
        ("fn f() { std::include!(\"other.rs\") }", "include!"),
        ("m!{ include!(\"other.rs\"); }", "include!"),
        ("m!{ core::include!(\"other.rs\"); }", "include!"),
    ] {
        let why = "which this test does not follow; use `crate` or `mod`";
        assert_eq!(report(code), [format!("src/low.rs:1 has {what}, {why}")]);
    }
    let code = "use ::mio::Poll; const A: &str = include_str!(\"a\"); use top::ftpdlib::X;\n\
                m!{ include_bytes!(\"b\"); a::ftpdlib::b; }";
    assert_eq!(report(code), [""; 0]);
}

#[test]
fn the_disk_is_reported_by_whatever_name() {
    const RULE: Rule = Rule::NoDisk("low", &["low"], &["std::fs::File"]);
    let report = |low: &str| {
        let top = "pub use std::fs; pub use std::fs::{File, read as slurp}; pub struct Top;";
        let names = tree(&[("src/low.rs", low), ("src/top.rs", top)]);
        rules::invariants(&names, &[RULE])
    };
    for (code, path) in [
        ("std::fs::metadata(p)", "std::fs::metadata"),
        ("::std::fs::metadata(p)", "std::fs::metadata"),
        ("m!(std::fs::metadata(p))", "std::fs::metadata"),
        ("m!(a, ::std::fs::metadata(p))", "std::fs::metadata"),
        ("use std::fs::File;\nFile::open(p)", "std::fs::File::open"),
        (
            "use ::std::fs::File as F;\nF::open(p)",
            "std::fs::File::open",
        ),
        (
            "use std::os;\nos::unix::fs::symlink(a, b)",
            "std::os::unix::fs::symlink",
        ),
        ("crate::top::fs::write(p, b)", "std::fs::write"),
        ("crate::top::slurp(p)", "std::fs::read"),
        ("use crate::top::slurp as f;\nf(p)", "std::fs::read"),
        ("use crate::top::*;\nfs::write(p, b)", "std::fs::write"),
    ] {
        let text = report(&format!("fn f() {{ {code} }}")).join("\n");
        let expected = format!("uses {path}, and `low` must not use the disk");
        assert!(
            text.lines().any(|line| line.ends_with(&expected)),
            "{code}: {text}"
        );
    }
    for code in [
        "use std::fs;",
        "use std::{fs as disk};",
        "m!{ use std::{fs}; }",
    ] {
        let expected = "src/low.rs:1 uses std::fs, and `low` must not use the disk";
        assert_eq!(report(code), [expected], "{code}");
    }
    for (code, path) in [
        ("use std::fs::*;", "std::fs::*"),
        ("use std::*;", "std::*"),
        (
            "use std::os::unix::prelude::*;",
            "std::os::unix::prelude::*",
        ),
    ] {
        let expected = format!("src/low.rs:1 uses {path}, and `low` must not use the disk");
        assert_eq!(report(code), [expected]);
    }
    let right = "use std::fs::File; fn f(a: File, b: std::fs::File) -> crate::top::File {}\n\
                 use std::os::fd::AsFd; fn fs() { m!(fs::x); self.fs(); }";
    assert_eq!(report(right), [""; 0]);
}

#[test]
fn the_program_points_down() {
    let check = |config: &str, cli: &str| {
        let main = "mod cli; mod config; mod manual; use cli::Stop; fn run() {}";
        let names = Names::of(
            &Sources::made_up(&[
                ("src/main.rs", main),
                ("src/config.rs", config),
                ("src/cli.rs", &format!("pub struct Stop; {cli}")),
                ("src/manual.rs", "pub fn page() { crate::cli::Stop; }"),
            ]),
            "src/main.rs",
        );
        rules::invariants(&names, &rules::PROGRAM)
    };
    assert_eq!(check("pub struct C;", "use crate::config::C;"), [""; 0]);
    for (path, file) in [
        ("crate::cli::Stop", "cli"),
        ("crate::Stop", "cli"),
        ("crate::manual::page", "manual"),
        ("crate::run", "main"),
    ] {
        assert_eq!(
            check(&format!("use {path};"), ""),
            [format!(
                "src/config.rs:1 imports src/{file}.rs, which `config` must not: use {path}"
            )]
        );
    }
    for (path, file) in [("crate::manual::page", "manual"), ("super::run", "main")] {
        assert_eq!(
            check("", &format!("fn f() {{ {path}() }}")),
            [format!(
                "src/cli.rs:1 imports src/{file}.rs, which `cli` must not: {path}"
            )]
        );
    }
}

#[test]
fn a_field_is_read_in_its_module_only() {
    let report = |code: &str| {
        let names = tree(&[
            ("src/low.rs", &format!("fn f(s: S) {{ {code} }}")),
            ("src/mid/mod.rs", "mod own; mod other;"),
            ("src/mid/own.rs", "fn f(s: S) { s.config }"),
            ("src/mid/other.rs", &format!("fn f(s: S) {{ {code} }}")),
        ]);
        rules::invariants(
            &names,
            &[Rule::ReadOnlyBy("mid", &["config"], &["mid::own"])],
        )
    };
    for code in [
        "s.config.banner",
        "s.config().timeout",
        "S::config(&s).timeout",
        "let config = Arc::clone(&s.config);",
        "let S { config, .. } = s;",
        "let S { config: c, .. } = s;",
        "m!(s.config.banner)",
        "m!(S::config(s))",
    ] {
        let expected = "src/mid/other.rs:1 reads config, which only mid::own may";
        assert_eq!(report(code), [expected], "{code}");
    }
    assert_eq!(
        report("let config = g(); config.x; S { config }; m!(config)"),
        [""; 0]
    );
}

#[test]
fn a_clock_is_reported_by_whatever_name() {
    const RULE: Rule = Rule::ForeignOnlyBy(&["std::time::Instant::now"], &["top"]);
    let report = |low: &str| {
        let top = "pub use std::time::Instant; pub fn now() -> Instant { Instant::now() }";
        let names = tree(&[("src/low.rs", low), ("src/top.rs", top)]);
        rules::invariants(&names, &[RULE])
    };
    let expected = "src/low.rs:1 uses std::time::Instant::now, which only top may";
    for code in [
        "fn f() { std::time::Instant::now(); }",
        "use std::time::Instant; fn f() { Instant::now(); }",
        "use crate::top::Instant as I; fn f() { I::now(); }",
        "use std::time::Instant; fn f() { g(Instant::now) }",
        "use std::time; fn f() { m!(time::Instant::now()); }",
    ] {
        assert_eq!(report(code), [expected], "{code}");
    }
    let code = "use std::time::Instant; fn f(now: Instant) { crate::top::now(); }";
    assert_eq!(report(code), [""; 0]);
}
