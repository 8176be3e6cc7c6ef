//! What modules name of other crates, with imports and re-exports followed.

use std::collections::BTreeSet;

use crate::names::{ModuleId, Name, Names, ROOT};

/// How many imports a path is followed through. More than this is a circle.
const LONGEST_CHAIN: usize = 8;

/// Every path that leads out of the crate, in full: the module, the path, the line.
pub(crate) fn paths(names: &Names) -> BTreeSet<(ModuleId, Vec<String>, usize)> {
    let mut paths: BTreeSet<_> = (names.absolute.iter())
        .map(|reference| (reference.module, reference.path.clone(), reference.line))
        .collect();
    for reference in &names.references {
        let mut found = Vec::new();
        follow(
            names,
            reference.module,
            &reference.path,
            LONGEST_CHAIN,
            &mut found,
        );
        paths.extend(
            found
                .into_iter()
                .map(|path| (reference.module, path, reference.line)),
        );
    }
    paths
}

/// Adds the paths outside of the crate that a path stands for.
fn follow(
    names: &Names,
    from: ModuleId,
    path: &[String],
    left: usize,
    found: &mut Vec<Vec<String>>,
) {
    let Some((first, rest)) = path.split_first().filter(|_| left > 0) else {
        return;
    };
    let module = &names.modules[from];
    match first.as_str() {
        "crate" => return follow(names, ROOT, rest, left, found),
        "self" => return follow(names, from, rest, left, found),
        "super" => return follow(names, module.parent.unwrap_or(ROOT), rest, left, found),
        _ => {}
    }
    let with_rest = |start: &[String]| [start, rest].concat();
    let mut is_ours = false;
    for meaning in module.names.get(first).into_iter().flatten() {
        match meaning {
            Name::Item => is_ours = true,
            Name::Module(child) => {
                is_ours = true;
                follow(names, *child, rest, left, found);
            }
            // `use std;` and the like.
            Name::Use(path) if path.first() == Some(first) => {}
            Name::Use(path) => {
                is_ours = true;
                follow(names, from, &with_rest(path), left - 1, found);
            }
        }
    }
    if let Some(start) = module.absolute.get(first) {
        found.push(with_rest(start));
    }
    if !is_ours {
        found.push(path.to_vec());
        for glob in &module.globs {
            let path = [glob.as_slice(), path].concat();
            if glob.first() != Some(first) {
                follow(names, from, &path, left - 1, found);
            }
        }
    }
}

/// Whether a path is one into the file system of std, or may be.
pub(crate) fn is_disk(path: &[String]) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["std", "fs", ..] | ["std" | "core", "*"] => true,
        ["std", "os", rest @ ..] => rest.contains(&"fs") || rest.contains(&"*"),
        _ => false,
    }
}
