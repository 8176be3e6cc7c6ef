//! The rules, and what breaks them.

use std::collections::BTreeSet;

use crate::foreign;
use crate::graph::{self, Edge, Graph};
use crate::names::{Module, ModuleId, Names, ROOT};
use crate::source::{Sources, folder_of_children};
use crate::table::{Floors, is_within};

/// The most lines of a file.
const LONGEST_FILE: usize = 500;

/// A rule about what a module may name.
pub(crate) enum Rule {
    /// This module imports nothing of ours but from itself and these.
    ImportsOnly(&'static str, &'static [&'static str]),
    /// This module imports nothing from these.
    NeverImports(&'static str, &'static [&'static str]),
    /// The code of this module does not have these identifiers.
    NeverNames(&'static str, &'static [&'static str]),
    /// Only the code of the last has these identifiers.
    NamedOnlyBy(&'static [&'static str], &'static [&'static str]),
    /// Only the last hold a value of these types; others may borrow one as `&dyn Name`.
    HeldOnlyBy(&'static [&'static str], &'static [&'static str]),
    /// Only the last call these methods, or name them as functions.
    CalledOnlyBy(&'static [&'static str], &'static [&'static str]),
    /// In the first module, only the last read fields with these names, or call methods with
    /// them.
    ReadOnlyBy(
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    ),
    /// Only the last use these paths of other crates, or paths that begin with them.
    ForeignOnlyBy(&'static [&'static str], &'static [&'static str]),
    /// This module uses nothing of `std::fs`, except for the second, which use these paths
    /// in full.
    NoDisk(
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    ),
}

/// The rules of this crate besides the order of the floors.
pub(crate) const OURS: [Rule; 26] = [
    Rule::ImportsOnly("error", &["time", "sys"]),
    Rule::ImportsOnly("time", &["error", "sys"]),
    Rule::ImportsOnly("sys", &["error", "time"]),
    Rule::ImportsOnly("log", &["error", "time", "sys"]),
    // No FTP.
    Rule::ImportsOnly("ioloop", &["error", "time", "random", "sys", "log"]),
    // No policy, no socket and no clock.
    Rule::ImportsOnly("proto", &["error"]),
    Rule::NeverNames("handlers::data", &["FTPSession"]),
    Rule::NeverImports("handlers::session", &["handlers::commands"]),
    Rule::NeverImports("authorizers", &["handlers", "ioloop", "offload"]),
    Rule::NeverNames("authorizers", &["FTPSession", "TcpStream", "TcpListener"]),
    // Sockets are registered by the loop, the driver of a session, and the servers.
    Rule::CalledOnlyBy(
        &["watch", "register", "reregister", "deregister"],
        &["ioloop", "handlers::connection", "servers"],
    ),
    // A transfer begins as one of these, which the session keeps. One place begins it
    // and ends it: it calls the first of the methods below, and then one of the others.
    Rule::NamedOnlyBy(
        &["PendingTransfer", "DataConnection"],
        &[
            "handlers::data",
            "handlers::pending",
            "handlers::session",
            "handlers::transfers",
        ],
    ),
    Rule::CalledOnlyBy(
        &[
            "begin_transfer",
            "on_file_sent",
            "on_file_received",
            "on_incomplete_file_sent",
            "on_incomplete_file_received",
        ],
        &["handlers::transfers"],
    ),
    // The one door to the file system, which lends it to operations. A setting chooses
    // which file system it is, and so does the handler at each login.
    Rule::NamedOnlyBy(
        &["abstracted_fs"],
        &[
            "handlers::commands::login",
            "handlers::config",
            "handlers::files",
            "handlers::handler",
            "handlers::hooks",
        ],
    ),
    Rule::HeldOnlyBy(
        &["AbstractedFS"],
        &[
            "filesystems",
            "handlers::config",
            "handlers::files",
            "handlers::handler",
            "handlers::hooks",
            "handlers::stock",
        ],
    ),
    // The stock bodies of the file system are behind `AbstractedFS`, and so is the disk. An
    // open file may be sent with sendfile.
    Rule::NeverImports("handlers", &["filesystems::local", "filesystems::jail"]),
    Rule::NoDisk("handlers", &["handlers::files"], &["std::fs::File"]),
    // The stock authorizer looks whether a home is a directory.
    Rule::NoDisk(
        "authorizers",
        &["authorizers::dummy"],
        &["std::fs", "std::fs::canonicalize"],
    ),
    Rule::NoDisk("ioloop", &["ioloop"], &["std::fs::File"]),
    Rule::NoDisk("proto", &[], &[]),
    Rule::NoDisk("limits", &[], &[]),
    // What varies goes through the loop and the server, so that a seed repeats a run in memory.
    Rule::ForeignOnlyBy(
        &["std::time::Instant::now", "std::time::SystemTime::now"],
        &[
            "ioloop::clock",
            "ioloop::reactor",
            "log",
            "prefork",
            "server_state::host_names",
            "servers",
            "testing::world",
        ],
    ),
    Rule::CalledOnlyBy(&["elapsed"], &["prefork", "servers", "testing"]),
    Rule::ForeignOnlyBy(
        &["getrandom", "std::hash::RandomState"],
        &["random", "sys::ports"],
    ),
    // What a session may change for itself is read through the session.
    Rule::NamedOnlyBy(
        &[
            "active_dtp",
            "masquerade_address",
            "masquerade_address_map",
            "passive_dtp",
            "tls_control_required",
            "tls_data_required",
        ],
        &["handlers::config", "handlers::session", "servers", "tls"],
    ),
    // `config` of a data connection is another one: its copy of the settings for it.
    Rule::ReadOnlyBy(
        "handlers",
        &["config"],
        &[
            "handlers::config",
            "handlers::data",
            "handlers::files",
            "handlers::session",
        ],
    ),
];

/// The path of the root of a crate.
const THE_ROOT: &str = "";

/// The rules of the program.
pub(crate) const PROGRAM: [Rule; 3] = [
    Rule::NeverImports("config", &["cli", "manual", THE_ROOT]),
    Rule::NeverImports("cli", &["manual", THE_ROOT]),
    Rule::NeverImports("manual", &[THE_ROOT]),
];

/// Imports that do not point to a lower floor, and modules without a floor.
pub(crate) fn floors(names: &Names, floors: &Floors) -> Vec<String> {
    let mut violations = BTreeSet::new();
    for entry in floors.entries() {
        if !names.modules.iter().any(|module| module.path == entry) {
            violations.insert(format!(
                "the floors name `{entry}`, and no module is so called"
            ));
        }
    }
    for module in names.modules.iter().skip(ROOT + 1) {
        if floors.of(&module.path).is_none() && !module.is_face {
            let file = &module.file;
            violations.insert(format!("{file}: `{}` stands on no floor", module.path));
        }
    }
    for edge in graph::edges(names) {
        violations.extend(upward(names, floors, &edge));
    }
    for hidden in graph::hidden(names) {
        let (file, path) = (&names.modules[hidden.module].file, hidden.path.join("::"));
        let line = hidden.line;
        violations.insert(format!(
            "{file}:{line} hides what it imports: {path}::$; name the module in the macro"
        ));
    }
    in_order(violations)
}

/// The text for an import that does not point to a lower floor.
fn upward(names: &Names, floors: &Floors, edge: &Edge<'_>) -> Option<String> {
    let (from, to) = (&names.modules[edge.from], &names.modules[edge.to]);
    let (floor, entry) = floors.of(&from.path)?;
    let describe = |above: &str| {
        format!(
            "{} imports {} ({above}) from floor {floor}: {}",
            edge.place(names),
            to.file,
            edge.text()
        )
    };
    if edge.to == ROOT {
        return edge.is_item.then(|| describe("the root"));
    }
    let Some((above, other)) = floors.of(&to.path) else {
        // A face of modules that have floors.
        let lowest = floors.lowest_within(&to.path).filter(|_| to.is_face)?;
        return (lowest >= floor).then(|| describe(&format!("floors from {lowest}")));
    };
    (above >= floor && entry != other).then(|| describe(&format!("floor {above}")))
}

/// Files that name each other, directly or by way of others.
pub(crate) fn circles(names: &Names) -> Vec<String> {
    let edges = graph::edges(names);
    let files = graph::files(names, &edges);
    let successors =
        |(file, imports): (&String, &std::collections::BTreeMap<String, &Edge<'_>>)| {
            (file.clone(), imports.keys().cloned().collect())
        };
    let graph: Graph = files.iter().map(successors).collect();
    let mut violations = Vec::new();
    for knot in graph::knots(&graph) {
        let members: Vec<_> = knot.iter().map(String::as_str).collect();
        let mut text = format!("{} form a circle:", members.join(", "));
        for from in &knot {
            for (to, edge) in files[from].iter().filter(|(to, _)| knot.contains(*to)) {
                let (place, path) = (edge.place(names), edge.text());
                text.push_str(&format!("\n    {place} imports {to}: {path}"));
            }
        }
        violations.push(text);
    }
    violations
}

/// What breaks one of these rules.
pub(crate) fn invariants(names: &Names, rules: &[Rule]) -> Vec<String> {
    let edges = graph::edges(names);
    let mut violations = BTreeSet::new();
    for rule in rules {
        violations.extend(unknown_modules(names, rule));
        match rule {
            Rule::ImportsOnly(module, may) => {
                let may = |to: &str| is_within(to, module) || is_within_any(to, may);
                let wrong = |edge: &&Edge<'_>| !may(&names.modules[edge.to].path);
                let from = imports_of(names, &edges, module);
                violations.extend(
                    from.filter(wrong)
                        .map(|edge| forbidden(names, edge, module)),
                );
            }
            Rule::NeverImports(module, never) => {
                let wrong = |edge: &&Edge<'_>| is_within_any(&names.modules[edge.to].path, never);
                let from = imports_of(names, &edges, module);
                violations.extend(
                    from.filter(wrong)
                        .map(|edge| forbidden(names, edge, module)),
                );
            }
            Rule::NeverNames(module, never) => {
                let within = |at: ModuleId| is_within(&names.modules[at].path, module);
                for (at, name, line) in &names.identifiers {
                    if within(*at) && never.contains(&name.as_str()) {
                        let file = &names.modules[*at].file;
                        violations.insert(format!("{file}:{line}: `{module}` names {name}"));
                    }
                }
            }
            Rule::NamedOnlyBy(what, by) => {
                violations.extend(only_by(names, &names.identifiers, "names", what, by));
            }
            Rule::HeldOnlyBy(what, by) => {
                violations.extend(only_by(names, &names.held, "holds", what, by));
            }
            Rule::CalledOnlyBy(what, by) => {
                violations.extend(only_by(names, &names.calls, "calls", what, by));
            }
            Rule::ReadOnlyBy(module, what, by) => {
                let within = |at: ModuleId| is_within(&names.modules[at].path, module);
                let members = names.members.iter().filter(|(at, _, _)| within(*at));
                let members = members.cloned().collect();
                violations.extend(only_by(names, &members, "reads", what, by));
            }
            Rule::ForeignOnlyBy(what, by) => {
                violations.extend(foreign_only_by(names, what, by));
            }
            Rule::NoDisk(module, except, allowed) => {
                for (at, path, line) in foreign::paths(names) {
                    let Module { path: at, file, .. } = &names.modules[at];
                    let path_text = path.join("::");
                    let may = is_within_any(at, except) && allowed.contains(&path_text.as_str());
                    if is_within(at, module) && foreign::is_disk(&path) && !may {
                        violations.insert(format!(
                            "{file}:{line} uses {path_text}, and `{module}` must not use the disk"
                        ));
                    }
                }
            }
        }
    }
    in_order(violations)
}

/// Where these paths of other crates are used outside of these modules, and those that are used
/// nowhere.
fn foreign_only_by(names: &Names, what: &[&str], by: &[&str]) -> Vec<String> {
    let paths = foreign::paths(names);
    let mut violations = Vec::new();
    for wanted in what {
        let mut known = false;
        for (at, path, line) in &paths {
            let path = path.join("::");
            if !is_within(&path, wanted) {
                continue;
            }
            known = true;
            let Module { path: at, file, .. } = &names.modules[*at];
            if !is_within_any(at, by) {
                let by = by.join(", ");
                violations.push(format!("{file}:{line} uses {path}, which only {by} may"));
            }
        }
        if !known {
            violations.push(format!("a rule is about {wanted}, and no code uses it"));
        }
    }
    violations
}

/// By file and line.
fn in_order(violations: BTreeSet<String>) -> Vec<String> {
    let mut violations: Vec<_> = violations.into_iter().collect();
    violations.sort_by_key(|text| {
        let (file, rest) = text.split_once(':').unwrap_or((text, ""));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (file.to_owned(), digits.parse::<usize>().unwrap_or(0))
    });
    violations
}

fn is_within_any(module: &str, ancestors: &[&str]) -> bool {
    (ancestors.iter()).any(|ancestor| is_within(module, ancestor))
}

fn imports_of<'a>(
    names: &'a Names,
    edges: &'a [Edge<'a>],
    module: &'a str,
) -> impl Iterator<Item = &'a Edge<'a>> {
    (edges.iter()).filter(move |edge| is_within(&names.modules[edge.from].path, module))
}

fn forbidden(names: &Names, edge: &Edge<'_>, module: &str) -> String {
    let to = &names.modules[edge.to].file;
    let (place, path) = (edge.place(names), edge.text());
    format!("{place} imports {to}, which `{module}` must not: {path}")
}

/// Where these names occur outside of these modules, and those that occur nowhere.
fn only_by(
    names: &Names,
    occurrences: &BTreeSet<(ModuleId, String, usize)>,
    verb: &str,
    what: &[&str],
    by: &[&str],
) -> Vec<String> {
    let mut violations = Vec::new();
    for name in what {
        let mut known = false;
        for (at, _, line) in occurrences.iter().filter(|(_, found, _)| found == name) {
            known = true;
            let module = &names.modules[*at];
            if *at != ROOT && !is_within_any(&module.path, by) {
                let file = &module.file;
                let by = by.join(", ");
                violations.push(format!("{file}:{line} {verb} {name}, which only {by} may"));
            }
        }
        if !known {
            violations.push(format!("a rule is about {name}, and no code {verb} it"));
        }
    }
    violations
}

/// The modules of a rule that do not exist: the rule would check nothing.
fn unknown_modules(names: &Names, rule: &Rule) -> Vec<String> {
    let modules: Vec<&str> = match rule {
        Rule::ImportsOnly(module, others) | Rule::NeverImports(module, others) => {
            others.iter().copied().chain([*module]).collect()
        }
        Rule::NeverNames(module, _) => vec![module],
        Rule::NoDisk(module, except, _) | Rule::ReadOnlyBy(module, _, except) => {
            except.iter().copied().chain([*module]).collect()
        }
        Rule::NamedOnlyBy(_, by)
        | Rule::HeldOnlyBy(_, by)
        | Rule::CalledOnlyBy(_, by)
        | Rule::ForeignOnlyBy(_, by) => by.to_vec(),
    };
    let unknown = |path: &&str| !names.modules.iter().any(|module| module.path == **path);
    let missing = modules.into_iter().filter(unknown);
    missing
        .map(|path| format!("a rule is about `{path}`, and no module is so called"))
        .collect()
}

/// Code that the checker does not follow, so that it may import anything.
pub(crate) fn unread(names: &Names) -> Vec<String> {
    let describe = |(at, code, line): &(ModuleId, String, usize)| {
        let file = &names.modules[*at].file;
        format!("{file}:{line} has {code}, which this test does not follow; use `crate` or `mod`")
    };
    in_order(names.unread.iter().map(describe).collect())
}

/// Files that are too long, and paths through two parents.
pub(crate) fn text(sources: &Sources) -> Vec<String> {
    // Put together, so that it is not found here.
    let twice = ["super"; 2].join("::");
    let mut violations = Vec::new();
    for (path, text) in sources.iter() {
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            violations.push(format!(
                "{path} has {lines} lines, more than {LONGEST_FILE}"
            ));
        }
        for (at, line) in text.lines().enumerate() {
            if line.contains(&twice) {
                violations.push(format!("{path}:{} has {twice}", at + 1));
            }
        }
    }
    violations
}

/// Files that belong to none of these crates.
pub(crate) fn strays(sources: &Sources, used: &[&Names]) -> Vec<String> {
    let is_used = |path: &str| {
        let mut modules = used.iter().flat_map(|names| &names.modules);
        modules.any(|module| module.file == path)
    };
    let is_for_tests = |path: &str| {
        let mut files = used.iter().flat_map(|names| &names.left_out);
        files.any(|file| path == file || path.starts_with(&folder_of_children(file)))
    };
    let paths = sources.iter().map(|(path, _)| path);
    paths
        .filter(|path| !is_used(path) && !is_for_tests(path))
        .map(|path| format!("{path} belongs to no module"))
        .collect()
}
