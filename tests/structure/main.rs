//! The structure of `src/`: imports point down, files form no circle, and each module
//! stays within what the crate docs say of it.
//!
//! The floors are the table under "The floors" in the docs of `src/lib.rs`; the other
//! rules are in `rules.rs`. The checker reads the sources in the current directory, so its
//! binary can be run in any checkout. It reads:
//!
//! - `use` in all its forms: groups, renames, globs, `self`, `super`, inside functions;
//! - paths in types and expressions, and paths and imports among the tokens of a macro;
//! - re-exports, which it follows to the file that defines the item;
//! - what is taken from `std::fs`, by whatever name.
//!
//! Code that would hide an import from it is a violation: `extern crate`, `include!`, and a
//! `$name` in a macro that chooses a module. `loopholes.rs` has an example of each.
//!
//! It leaves out code that is compiled for tests or docs only. It does not infer types: a
//! method that is called on a value makes no import of the file that defines the method.

mod foreign;
mod graph;
mod items;
#[cfg(test)]
mod loopholes;
#[cfg(test)]
mod made_up;
mod names;
mod rules;
mod source;
mod table;
mod tokens;

use std::path::Path;
use std::sync::LazyLock;

use crate::names::Names;
use crate::source::Sources;
use crate::table::Floors;

/// The sources in the current directory.
static SOURCES: LazyLock<Sources> =
    LazyLock::new(|| Sources::read(Path::new(".")).expect("src/ cannot be read"));

/// The names of the library. All tests share them, because reading takes long.
static LIBRARY: LazyLock<Names> = LazyLock::new(|| Names::of(&SOURCES, "src/lib.rs"));

/// The names of the program.
static PROGRAM: LazyLock<Names> = LazyLock::new(|| Names::of(&SOURCES, "src/main.rs"));

/// Fails with one line for each violation.
fn none_of(violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{} violations:\n{}\n",
        violations.len(),
        violations.join("\n"),
    );
}

#[test]
fn every_import_points_to_a_lower_floor() {
    let floors = Floors::parse(SOURCES.text("src/lib.rs")).unwrap();
    none_of(&rules::floors(&LIBRARY, &floors));
}

#[test]
fn the_files_of_the_library_form_no_circle() {
    none_of(&rules::circles(&LIBRARY));
}

#[test]
fn the_files_of_the_program_form_no_circle() {
    none_of(&rules::circles(&PROGRAM));
}

#[test]
fn each_module_names_only_what_it_may() {
    none_of(&rules::invariants(&LIBRARY, &rules::OURS));
}

#[test]
fn each_module_of_the_program_names_only_what_it_may() {
    none_of(&rules::invariants(&PROGRAM, &rules::PROGRAM));
}

#[test]
fn all_imports_can_be_followed() {
    for names in [&LIBRARY, &PROGRAM] {
        none_of(&rules::unread(names));
    }
}

#[test]
fn files_are_short_and_no_path_climbs_twice() {
    none_of(&rules::text(&SOURCES));
}

#[test]
fn every_file_belongs_to_the_library_or_the_program() {
    none_of(&rules::strays(&SOURCES, &[&LIBRARY, &PROGRAM]));
}
