//! Ways around the rules, which the checker must report.

use crate::made_up::tree;
use crate::rules::{self, Rule};

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
    let others = "use signal_hook::low_level as low;\nm! { fn watch(&self); }\nfn watch() {}\n\
                  fn f(watch: u8) { low::watch(); signal_hook::watch(1); g(watch); s.watch = 1; }";
    assert_eq!(calls(others), [""; 0]);
}
