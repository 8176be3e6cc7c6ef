//! Which module takes what from which other one, with re-exports followed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::names::{How, ModuleId, Name, Names, ROOT, Reference};
use crate::table::is_within;

/// An import of one module from another, be it a `use` or a path in the code.
#[derive(Debug)]
pub(crate) struct Edge<'a> {
    pub(crate) from: ModuleId,
    /// The module that defines what is imported, or the module that is imported itself.
    pub(crate) to: ModuleId,
    /// Whether it is an item, rather than a module as a whole.
    pub(crate) is_item: bool,
    pub(crate) reference: &'a Reference,
}

impl Edge<'_> {
    /// Such as `use crate::log::TARGET`.
    pub(crate) fn text(&self) -> String {
        let path = self.reference.path.join("::");
        match self.reference.how {
            How::Import => format!("use {path}"),
            How::Reexport => format!("pub use {path}"),
            How::Inline => path,
        }
    }

    /// Such as `src/log.rs:12`.
    pub(crate) fn place(&self, names: &Names) -> String {
        let file = &names.modules[self.from].file;
        format!("{file}:{}", self.reference.line)
    }
}

/// Each `use`, by its module and path.
type Uses<'a> = BTreeMap<(ModuleId, &'a [String]), &'a Reference>;

/// All imports of a crate from other modules of it.
///
/// What a module exports again from those below it is none: it only shows where they are.
pub(crate) fn edges(names: &Names) -> Vec<Edge<'_>> {
    let imports = (names.references.iter()).filter(|reference| reference.how == How::Import);
    let uses: Uses<'_> = imports
        .map(|import| ((import.module, import.path.as_slice()), import))
        .collect();
    let mut edges = Vec::new();
    for reference in &names.references {
        let from = reference.module;
        if is_imported_item(names, &uses, reference) {
            continue;
        }
        for (to, is_item) in targets(names, reference) {
            let (here, there) = (&names.modules[from].path, &names.modules[to].path);
            let shows_its_own = from == ROOT || is_within(there, here);
            if from != to && !(reference.how == How::Reexport && shows_its_own) {
                edges.push(Edge {
                    from,
                    to,
                    is_item,
                    reference,
                });
            }
        }
    }
    edges
}

/// Whether a path in the code begins with an item that a `use` has named already.
fn is_imported_item(names: &Names, uses: &Uses<'_>, reference: &Reference) -> bool {
    if reference.how != How::Inline {
        return false;
    }
    let known = &names.modules[reference.module].names;
    let meanings = known.get(&reference.path[0]).into_iter().flatten();
    let imports = meanings.filter_map(|meaning| match meaning {
        Name::Use(path) => uses.get(&(reference.module, path.as_slice())),
        Name::Item | Name::Module(_) => None,
    });
    let mut imported = imports.flat_map(|import| targets(names, import)).peekable();
    imported.peek().is_some() && imported.all(|(_, is_item)| is_item)
}

/// The modules that define what a reference names, and whether that is an item there.
fn targets(names: &Names, reference: &Reference) -> BTreeSet<(ModuleId, bool)> {
    let mut resolver = Resolver::new(names);
    match reference.path.split_last() {
        Some((last, parents)) if last == "*" => {
            let mut targets = BTreeSet::new();
            for found in resolver.resolve(reference.module, parents) {
                if !found.is_module {
                    // The variants of an enumeration.
                    targets.insert(found.target());
                    continue;
                }
                for name in names.modules[found.module].names.keys() {
                    let items = resolver.lookup(found.module, name);
                    targets.extend(items.iter().map(Found::target));
                }
            }
            targets
        }
        _ => {
            let found = resolver.resolve(reference.module, &reference.path);
            found.iter().map(Found::target).collect()
        }
    }
}

/// The paths of macros that leave it to a `$name` which module they lead to.
pub(crate) fn hidden(names: &Names) -> Vec<&Reference> {
    let leads_on = |reference: &&Reference| {
        let mut targets = targets(names, reference).into_iter();
        targets.any(|(module, is_item)| {
            let mut modules = names.modules.iter();
            !is_item && modules.any(|child| child.parent == Some(module))
        })
    };
    names.fragments.iter().filter(leads_on).collect()
}

/// What a path leads to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Found {
    /// The module itself, or the one with the item.
    module: ModuleId,
    is_module: bool,
}

impl Found {
    fn target(&self) -> (ModuleId, bool) {
        (self.module, !self.is_module)
    }
}

struct Resolver<'a> {
    names: &'a Names,
    /// What is being looked up, against names that stand for each other.
    open: BTreeSet<(ModuleId, String)>,
}

impl<'a> Resolver<'a> {
    fn new(names: &'a Names) -> Self {
        Self {
            names,
            open: BTreeSet::new(),
        }
    }

    /// Empty for what other crates define.
    fn resolve(&mut self, from: ModuleId, path: &[String]) -> BTreeSet<Found> {
        let module = |module| Found {
            module,
            is_module: true,
        };
        let Some((first, mut rest)) = path.split_first() else {
            return BTreeSet::new();
        };
        let mut found = match first.as_str() {
            "crate" => [module(ROOT)].into(),
            "self" => [module(from)].into(),
            "super" => match self.names.modules[from].parent {
                Some(parent) => [module(parent)].into(),
                None => BTreeSet::new(),
            },
            name => self.lookup(from, name),
        };
        while let Some((name, after)) = rest.split_first() {
            let modules: Vec<_> = found.iter().filter(|found| found.is_module).collect();
            if modules.is_empty() {
                // What is associated with an item comes with it.
                return found;
            }
            let mut next = BTreeSet::new();
            for Found { module: at, .. } in modules {
                match (name.as_str(), self.names.modules[*at].parent) {
                    ("super", Some(parent)) => next.insert(module(parent)),
                    _ => {
                        // A macro may have made it: it is there, as the code compiles.
                        let is_unknown = !self.names.modules[*at].knows(name);
                        next.extend(self.lookup(*at, name));
                        next.extend(is_unknown.then_some(Found {
                            module: *at,
                            is_module: false,
                        }));
                        true
                    }
                };
            }
            found = next;
            rest = after;
        }
        found
    }

    /// What a name stands for in a module.
    fn lookup(&mut self, module: ModuleId, name: &str) -> BTreeSet<Found> {
        let key = (module, name.to_owned());
        if !self.open.insert(key.clone()) {
            return BTreeSet::new();
        }
        let mut found = BTreeSet::new();
        let Some(scope) = self.names.modules.get(module) else {
            return found;
        };
        for meaning in scope.names.get(name).into_iter().flatten() {
            match meaning {
                Name::Item => {
                    found.insert(Found {
                        module,
                        is_module: false,
                    });
                }
                Name::Module(child) => {
                    found.insert(Found {
                        module: *child,
                        is_module: true,
                    });
                }
                Name::Use(path) => found.extend(self.resolve(module, path)),
            }
        }
        if found.is_empty() {
            for glob in &scope.globs {
                let modules = self.resolve(module, glob);
                for inside in modules.iter().filter(|found| found.is_module) {
                    found.extend(self.lookup(inside.module, name));
                }
            }
        }
        self.open.remove(&key);
        found
    }
}

/// Which file names an item of which other one, with one of the imports that do.
///
/// A face names nothing: what it exports again is taken from the file that defines it.
pub(crate) fn files<'a>(
    names: &Names,
    edges: &'a [Edge<'a>],
) -> BTreeMap<String, BTreeMap<String, &'a Edge<'a>>> {
    let mut files: BTreeMap<String, BTreeMap<String, &Edge<'_>>> = BTreeMap::new();
    for edge in edges {
        let (from, to) = (&names.modules[edge.from], &names.modules[edge.to]);
        if edge.is_item && !from.is_face && from.file != to.file {
            let imports = files.entry(from.file.clone()).or_default();
            imports.entry(to.file.clone()).or_insert(edge);
        }
    }
    files
}

/// A graph, as the successors of each node.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// The groups of nodes that all lead to each other.
pub(crate) fn knots(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<_, _> = graph
        .keys()
        .map(|node| (node, reach(graph, node)))
        .collect();
    let mut knots: Vec<BTreeSet<String>> = Vec::new();
    for (node, ahead) in &reached {
        if !ahead.contains(*node) || knots.iter().any(|knot| knot.contains(*node)) {
            continue;
        }
        let back = |other: &&String| {
            let ahead = reached.get(*other);
            ahead.is_some_and(|ahead| ahead.contains(*node))
        };
        knots.push(ahead.iter().filter(back).cloned().collect());
    }
    knots
}

/// All that a node leads to.
fn reach(graph: &Graph, start: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.get(node).into_iter().flatten() {
            if reached.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    reached
}
