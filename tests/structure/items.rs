//! The parts of an item: its name, its attributes, the paths of a `use` and of a type.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// The last names of all paths of a type.
pub(crate) struct LastNames(pub(crate) Vec<String>);

impl<'ast> Visit<'ast> for LastNames {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let last = path.segments.last().map(|part| part.ident.to_string());
        self.0.extend(last);
        visit::visit_path(self, path);
    }
}

/// A path, the name that it is given, and its line.
pub(crate) type Leaf = (Vec<String>, Option<syn::Ident>, usize);

/// The single paths of a `use`.
pub(crate) fn flatten(tree: &syn::UseTree, prefix: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    let line = tree.span().start().line;
    let with = |prefix: &[String], name: &syn::Ident| {
        let mut path = prefix.to_vec();
        // `a::{self}` is `a`.
        if name != "self" || prefix.is_empty() {
            path.push(name.to_string());
        }
        path
    };
    match tree {
        syn::UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, leaves);
            prefix.pop();
        }
        syn::UseTree::Name(name) => {
            let path = with(prefix, &name.ident);
            let given = path.last().filter(|last| *last != "self");
            let given = given.map(|last| syn::Ident::new(last, name.ident.span()));
            leaves.push((path, given, line));
        }
        syn::UseTree::Rename(rename) => {
            let given = (rename.rename != "_").then(|| rename.rename.clone());
            leaves.push((with(prefix, &rename.ident), given, line));
        }
        syn::UseTree::Glob(_) => {
            let path = prefix.iter().cloned().chain(["*".to_owned()]).collect();
            leaves.push((path, None, line));
        }
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, prefix, leaves);
            }
        }
    }
}

/// The name that an item defines in its module.
pub(crate) fn defined(item: &syn::Item) -> Option<&syn::Ident> {
    match item {
        syn::Item::Const(item) => Some(&item.ident),
        syn::Item::Enum(item) => Some(&item.ident),
        syn::Item::Fn(item) => Some(&item.sig.ident),
        syn::Item::Macro(item) => item.ident.as_ref(),
        syn::Item::Static(item) => Some(&item.ident),
        syn::Item::Struct(item) => Some(&item.ident),
        syn::Item::Trait(item) => Some(&item.ident),
        syn::Item::Type(item) => Some(&item.ident),
        syn::Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

pub(crate) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

pub(crate) fn path_attribute(attributes: &[syn::Attribute]) -> Option<&syn::Attribute> {
    (attributes.iter()).find(|attribute| attribute.path().is_ident("path"))
}

/// Whether its `cfg` leaves it out of the crate that is used: it is for tests or docs.
pub(crate) fn is_left_out(attributes: &[syn::Attribute]) -> bool {
    let conditions = (attributes.iter()).filter(|attribute| attribute.path().is_ident("cfg"));
    conditions
        .filter_map(|attribute| attribute.parse_args::<syn::Meta>().ok())
        .any(|condition| holds(&condition) == Some(false))
}

/// Whether a condition holds in the crate that is used; `None` where it depends on the
/// system or on a feature.
fn holds(condition: &syn::Meta) -> Option<bool> {
    let path = condition.path();
    let syn::Meta::List(list) = condition else {
        let never = ["test", "doc", "doctest"];
        return (never.iter().any(|name| path.is_ident(name))).then_some(false);
    };
    let comma = syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated;
    let parts = list.parse_args_with(comma).ok()?;
    let parts: Vec<_> = parts.iter().map(holds).collect();
    match path.get_ident()?.to_string().as_str() {
        "not" => parts.first().copied().flatten().map(|held| !held),
        "all" if parts.contains(&Some(false)) => Some(false),
        "all" if parts.contains(&None) => None,
        "all" => Some(true),
        "any" if parts.contains(&Some(true)) => Some(true),
        "any" if parts.contains(&None) => None,
        "any" => Some(false),
        _ => None,
    }
}
