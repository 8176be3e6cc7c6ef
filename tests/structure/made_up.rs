//! The checker on made-up sources: it reports what it should, and nothing else.

use crate::names::Names;
use crate::rules::{self, Rule};
use crate::source::Sources;
use crate::table::Floors;

const TABLE: &str = "//! # The floors\n//!\n//! | module | knows | does not know |\n\
                     //! |---|---|---|\n//! | `low` | a | b |\n//! | `mid`, `side` | a | b |\n\
                     //! | `top` | a | b |\n";

/// The sources of a crate with modules `low`, `mid`, `side` and `top`: these and, where
/// they lack one, an empty one.
pub(crate) fn tree(files: &[(&str, &str)]) -> Names {
    let modules = "pub mod low;\npub mod mid;\npub mod side;\npub mod top;\n";
    let root = format!("{TABLE}{modules}pub use top::Top;\n");
    let mut all = vec![("src/lib.rs", root.as_str())];
    all.extend(files);
    let stock = [
        ("low", "src/low.rs", "pub struct Low;"),
        ("mid", "src/mid.rs", "pub struct Mid; pub fn mid() {}"),
        ("side", "src/side.rs", "pub struct Side;"),
        (
            "top",
            "src/top.rs",
            "pub struct Top; pub const TOP: u8 = 0; pub fn top() {}",
        ),
    ];
    for (name, path, text) in stock {
        let face = format!("src/{name}/mod.rs");
        if !files
            .iter()
            .any(|(given, _)| *given == path || *given == face)
        {
            all.push((path, text));
        }
    }
    Names::of(&Sources::made_up(&all), "src/lib.rs")
}

#[track_caller]
pub(crate) fn floors(files: &[(&str, &str)], expected: &[&str]) {
    let floors = Floors::parse(TABLE).unwrap();
    assert_eq!(rules::floors(&tree(files), &floors), expected);
}

#[track_caller]
fn circle(files: &[(&str, &str)], expected: &[&str]) {
    let circles = rules::circles(&tree(files)).join("\n");
    let lines: Vec<_> = circles.lines().map(str::trim).collect();
    assert_eq!(lines, expected);
}

#[test]
fn an_import_that_points_down_is_right() {
    let low = "pub struct Low; pub(crate) fn low() {}";
    let top = "use crate::low::{self, Low as Base};\nuse std::mem;\n\
               pub struct Top(Base, crate::mid::Mid, super::side::Side);\n\
               fn f() { low::low(); mem::take(&mut 0); log::error!(\"{}\", crate::low::low()); }";
    floors(&[("src/low.rs", low), ("src/top.rs", top)], &[]);
    circle(&[("src/low.rs", low), ("src/top.rs", top)], &[]);
}

#[test]
fn an_import_that_points_up_is_reported() {
    floors(
        &[("src/low.rs", "\nuse crate::top::Top;\n")],
        &["src/low.rs:2 imports src/top.rs (floor 3) from floor 1: use crate::top::Top"],
    );
    floors(
        &[(
            "src/low.rs",
            "use super::{mid::Mid, top::{self, TOP as T}};",
        )],
        &[
            "src/low.rs:1 imports src/mid.rs (floor 2) from floor 1: use super::mid::Mid",
            "src/low.rs:1 imports src/top.rs (floor 3) from floor 1: use super::top",
            "src/low.rs:1 imports src/top.rs (floor 3) from floor 1: use super::top::TOP",
        ],
    );
    floors(
        &[(
            "src/low.rs",
            "fn f() {\n    use crate::top::top;\n    top();\n}",
        )],
        &["src/low.rs:2 imports src/top.rs (floor 3) from floor 1: use crate::top::top"],
    );
}

#[test]
fn modules_on_one_floor_do_not_import_each_other() {
    floors(
        &[("src/mid.rs", "use crate::side::Side;")],
        &["src/mid.rs:1 imports src/side.rs (floor 2) from floor 2: use crate::side::Side"],
    );
}

#[test]
fn a_path_in_the_code_counts() {
    let up = "src/low.rs:1 imports src/top.rs (floor 3) from floor 1:";
    for (code, path) in [
        ("fn f() { crate::top::top() }", "crate::top::top"),
        ("struct S(Vec<Option<super::top::Top>>);", "super::top::Top"),
        ("fn f() { let crate::top::TOP = 1; }", "crate::top::TOP"),
        ("impl crate::top::Top { }", "crate::top::Top"),
        (
            "fn f() -> Box<dyn crate::top::Trait> {}",
            "crate::top::Trait",
        ),
        ("fn f() { g::<crate::top::Top>() }", "crate::top::Top"),
        ("fn f() { x!(a: 1, [crate::top::TOP]); }", "crate::top::TOP"),
        (
            "macro_rules! m { () => { $crate::top::top() } }",
            "crate::top::top",
        ),
        ("fn f() { crate::Top::new() }", "crate::Top::new"),
    ] {
        floors(&[("src/low.rs", code)], &[&format!("{up} {path}")]);
    }
}

#[test]
fn a_re_export_hides_nothing() {
    let hidden = [
        ("src/low.rs", "use crate::face::Shown;\nuse crate::Top;"),
        (
            "src/mid/mod.rs",
            "pub mod one;\npub use one::*;\npub use crate::top::TOP;",
        ),
        (
            "src/mid/one.rs",
            "pub use self::two::Two as Shown;\npub mod two;",
        ),
        ("src/mid/one/two.rs", "pub struct Two;"),
        (
            "src/lib.rs",
            "pub mod low;\npub mod mid;\npub mod side;\npub mod top;\n\
             pub use top::Top;\npub(crate) use mid as face;",
        ),
    ];
    let names = Names::of(
        &Sources::made_up(&[
            hidden[0],
            hidden[1],
            hidden[2],
            hidden[3],
            hidden[4],
            ("src/side.rs", ""),
            ("src/top.rs", "pub struct Top; pub const TOP: u8 = 0;"),
        ]),
        "src/lib.rs",
    );
    assert_eq!(
        rules::floors(&names, &Floors::parse(TABLE).unwrap()),
        [
            "src/low.rs:1 imports src/mid/one/two.rs (floor 2) from floor 1: use crate::face::Shown",
            "src/low.rs:2 imports src/top.rs (floor 3) from floor 1: use crate::Top",
            "src/mid/mod.rs:3 imports src/top.rs (floor 3) from floor 2: pub use crate::top::TOP",
        ]
    );
}

#[test]
fn a_glob_takes_all_that_a_module_has() {
    floors(
        &[("src/low.rs", "use crate::top::*;")],
        &["src/low.rs:1 imports src/top.rs (floor 3) from floor 1: use crate::top::*"],
    );
    let names = [
        (
            "src/mid/mod.rs",
            "mod a;\nmod b;\npub use a::A;\npub use b::B;",
        ),
        ("src/mid/a.rs", "pub struct A;"),
        ("src/mid/b.rs", "use super::*; pub struct B(A);"),
    ];
    circle(&names, &[]);
    let mut names = names;
    names[1].1 = "use crate::mid::B; pub struct A(B);";
    circle(
        &names,
        &[
            "src/mid/a.rs, src/mid/b.rs form a circle:",
            "src/mid/a.rs:1 imports src/mid/b.rs: use crate::mid::B",
            "src/mid/b.rs:1 imports src/mid/a.rs: use super::*",
        ],
    );
}

#[test]
fn a_glob_takes_the_variants_of_an_enumeration() {
    floors(
        &[
            ("src/low.rs", "use crate::top::Kind::*;"),
            ("src/top.rs", "pub enum Kind { A } pub struct Top;"),
        ],
        &["src/low.rs:1 imports src/top.rs (floor 3) from floor 1: use crate::top::Kind::*"],
    );
}

#[test]
fn what_other_crates_define_does_not_count() {
    let low = "pub use ::slab::Slab;\npub use mio;\nuse std::top::Top;\npub use libc::*;";
    let top = "use crate::low::{Slab, mio::Token, c_int};\npub struct Top(crate::low::mio::Poll);";
    floors(&[("src/low.rs", low), ("src/top.rs", top)], &[]);
    let top = "pub use mio; pub struct Top;";
    floors(
        &[
            ("src/low.rs", "use crate::top::mio::Token;"),
            ("src/top.rs", top),
        ],
        &[],
    );
    // It may be made by a macro.
    floors(
        &[("src/low.rs", "use crate::top::Unseen;")],
        &["src/low.rs:1 imports src/top.rs (floor 3) from floor 1: use crate::top::Unseen"],
    );
}

#[test]
fn what_is_for_tests_or_docs_does_not_count() {
    let code = "//! See [`crate::top::Top`].\n/// [`crate::top`]\n#[derive(Debug)] struct S;\n\
                #[cfg(test)] mod tests { use crate::top::Top; }\n#[cfg(test)] use crate::top::Top;\n\
                #[cfg(any(doc, doctest))] pub mod more { use crate::top::Top; }\n\
                #[cfg(all(test, unix))] fn f() { crate::top::top() }\n\
                impl S { #[cfg(test)] fn f() { crate::top::top() } }";
    floors(&[("src/low.rs", code)], &[]);
    floors(
        &[("src/low.rs", "#[cfg(not(test))] use crate::top::Top;")],
        &["src/low.rs:1 imports src/top.rs (floor 3) from floor 1: use crate::top::Top"],
    );
}

#[test]
fn every_module_stands_on_a_floor() {
    let names = tree(&[]);
    let table = TABLE.replace("`side`", "`gone`");
    let floors = Floors::parse(&table).unwrap();
    assert_eq!(
        rules::floors(&names, &floors),
        [
            "src/side.rs: `side` stands on no floor",
            "the floors name `gone`, and no module is so called",
        ]
    );
}

#[test]
fn a_circle_of_three_is_reported() {
    circle(
        &[
            ("src/low.rs", "fn f() { crate::mid::mid() } pub struct Low;"),
            ("src/mid.rs", "use crate::Top;\npub fn mid() {}"),
            ("src/top.rs", "use super::low::Low; pub struct Top;"),
        ],
        &[
            "src/low.rs, src/mid.rs, src/top.rs form a circle:",
            "src/low.rs:1 imports src/mid.rs: crate::mid::mid",
            "src/mid.rs:1 imports src/top.rs: use crate::Top",
            "src/top.rs:1 imports src/low.rs: use super::low::Low",
        ],
    );
}

#[test]
fn a_face_is_in_no_circle_and_a_parent_with_items_is() {
    let child = (
        "src/mid/child.rs",
        "use crate::mid::Other; pub struct Child(Other);",
    );
    let other = ("src/mid/other.rs", "pub struct Other;");
    let face = "mod child;\nmod other;\npub use child::Child;\npub(crate) use other::Other;";
    circle(&[("src/mid/mod.rs", face), child, other], &[]);
    let parent = "mod child;\npub use child::Child;\npub struct Other;";
    circle(&[("src/mid/mod.rs", parent), child], &[]);
    // It names by a re-export of its own.
    let parent = "mod child;\npub use child::Child;\npub struct Other(Box<Child>);";
    circle(
        &[("src/mid/mod.rs", parent), child],
        &[
            "src/mid/child.rs, src/mid/mod.rs form a circle:",
            "src/mid/child.rs:1 imports src/mid/mod.rs: use crate::mid::Other",
            "src/mid/mod.rs:3 imports src/mid/child.rs: Child",
        ],
    );
}

#[test]
fn a_variable_is_no_function() {
    let face = "mod child;\npub use child::child;\npub struct Mid;\n\
                fn f(child: u8) { g(child); let _ = S { child }; }";
    let child = ("src/mid/child.rs", "use super::Mid; pub fn child() {}");
    circle(&[("src/mid/mod.rs", face), child], &[]);
}

#[test]
fn rules_are_held() {
    let names = tree(&[
        ("src/low.rs", "use crate::side::Side; fn f() { x.watch(); }"),
        (
            "src/mid.rs",
            "use crate::top::{self, Top};\nfn f() { m!(x.top()); s.watch() }",
        ),
    ]);
    let check = |rule| rules::invariants(&names, &[rule]);
    assert_eq!(check(Rule::ImportsOnly("low", &["side"])), [""; 0]);
    assert_eq!(
        check(Rule::ImportsOnly("low", &["mid"])),
        ["src/low.rs:1 imports src/side.rs, which `low` must not: use crate::side::Side"]
    );
    assert_eq!(check(Rule::NeverImports("mid", &["low"])), [""; 0]);
    assert_eq!(
        check(Rule::NeverImports("mid", &["low", "top"])),
        [
            "src/mid.rs:1 imports src/top.rs, which `mid` must not: use crate::top",
            "src/mid.rs:1 imports src/top.rs, which `mid` must not: use crate::top::Top",
        ]
    );
    assert_eq!(check(Rule::NeverNames("low", &["Top"])), [""; 0]);
    assert_eq!(
        check(Rule::NeverNames("mid", &["Top"])),
        ["src/mid.rs:1: `mid` names Top"]
    );
    assert_eq!(
        check(Rule::NamedOnlyBy(&["Side"], &["side"])),
        ["src/low.rs:1 names Side, which only side may"]
    );
    assert_eq!(
        check(Rule::CalledOnlyBy(&["watch"], &["mid"])),
        ["src/low.rs:1 calls watch, which only mid may"]
    );
    assert_eq!(
        check(Rule::CalledOnlyBy(&["gone"], &["nowhere"])),
        [
            "a rule is about `nowhere`, and no module is so called",
            "a rule is about gone, and no code calls it",
        ]
    );
}

#[test]
fn what_is_lent_is_not_held() {
    let lent = "use crate::top::Disk;\nfn f(d: &dyn Disk, g: impl FnOnce(&mut dyn Disk)) {}\n\
                fn g() -> Box<dyn Disk> {}";
    let names = tree(&[
        ("src/low.rs", lent),
        (
            "src/top.rs",
            "pub trait Disk {} pub struct Top(Arc<dyn Disk>);",
        ),
    ]);
    let check = |by| rules::invariants(&names, &[Rule::HeldOnlyBy(&["Disk"], by)]);
    assert_eq!(
        check(&["top"]),
        ["src/low.rs:3 holds Disk, which only top may"]
    );
    assert_eq!(
        check(&["low"]),
        ["src/top.rs:1 holds Disk, which only low may"]
    );
}

#[test]
fn long_files_and_paths_that_climb_twice_are_reported() {
    let long = "//\n".repeat(501);
    let climbs = format!("\nuse {}::x;", ["super"; 2].join("::"));
    let sources = Sources::made_up(&[("src/a.rs", &long), ("src/b.rs", &climbs)]);
    let expected = ["src/a.rs has 501 lines, more than 500".to_owned()];
    let twice = format!("src/b.rs:2 has {}", ["super"; 2].join("::"));
    assert_eq!(
        rules::text(&sources),
        [expected.as_slice(), &[twice]].concat()
    );
}

#[test]
fn a_file_without_a_module_is_reported() {
    let sources = Sources::made_up(&[
        ("src/lib.rs", "mod a;\n#[cfg(test)]\nmod tests;"),
        ("src/a.rs", ""),
        ("src/a/lost.rs", ""),
        ("src/tests.rs", "mod more;"),
        ("src/tests/more.rs", ""),
    ]);
    let strays = rules::strays(&sources, &[&Names::of(&sources, "src/lib.rs")]);
    assert_eq!(strays, ["src/a/lost.rs belongs to no module"]);
}
