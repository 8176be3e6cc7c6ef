//! What the modules of a crate define and name.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::items::{LastNames, attributes, defined, flatten, is_left_out, path_attribute};
use crate::source::{Sources, folder_of_children};

/// The name of the library, by which only the program may name it.
const LIBRARY: &str = "ftpdlib";

/// A number of a module in [`Names::modules`].
pub(crate) type ModuleId = usize;

/// The root of the crate.
pub(crate) const ROOT: ModuleId = 0;

/// The modules of a crate, and all that they name.
pub(crate) struct Names {
    pub(crate) modules: Vec<Module>,
    pub(crate) references: Vec<Reference>,
    /// The paths that begin with `::`, without it: what other crates have.
    pub(crate) absolute: Vec<Reference>,
    /// The paths of macros whose next name is a `$name`.
    pub(crate) fragments: Vec<Reference>,
    /// Every identifier in the code: the module, the name, the line.
    pub(crate) identifiers: BTreeSet<(ModuleId, String, usize)>,
    /// Every method or function that is called: the module, the name, the line.
    pub(crate) calls: BTreeSet<(ModuleId, String, usize)>,
    /// Every field that is read or taken out, and every method that is called: the module, the
    /// name, the line.
    pub(crate) members: BTreeSet<(ModuleId, String, usize)>,
    /// Every path in the code, by its last name, except where it is borrowed: `&dyn Name`.
    pub(crate) held: BTreeSet<(ModuleId, String, usize)>,
    /// The names that stand for others, in whatever module: by `use .. as`, or by `type`.
    renames: BTreeMap<String, BTreeSet<String>>,
    /// What the checker does not follow: the module, the code, the line.
    pub(crate) unread: BTreeSet<(ModuleId, String, usize)>,
    /// The files of modules that are compiled for tests or docs only.
    pub(crate) left_out: BTreeSet<String>,
}

#[derive(Default)]
pub(crate) struct Module {
    /// Such as `handlers::data`; empty for the root.
    pub(crate) path: String,
    pub(crate) file: String,
    pub(crate) parent: Option<ModuleId>,
    /// What each name stands for; it may be a module, a function and more at once.
    pub(crate) names: BTreeMap<String, Vec<Name>>,
    /// What is imported from a path that begins with `::`, by its name here.
    pub(crate) absolute: BTreeMap<String, Vec<String>>,
    /// The paths whose contents are all imported.
    pub(crate) globs: Vec<Vec<String>>,
    /// Whether it has nothing but docs, modules and re-exports.
    pub(crate) is_face: bool,
    /// The variables of its functions.
    bindings: BTreeSet<String>,
}

impl Module {
    /// Whether a name is defined or imported here, as far as that can be seen.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.names.contains_key(name) || !self.globs.is_empty()
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Name {
    /// Defined in this module.
    Item,
    Module(ModuleId),
    /// Imported, or exported again, from this path.
    Use(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum How {
    /// `use`
    Import,
    /// `pub use`, with whatever visibility
    Reexport,
    /// A path in the code.
    Inline,
}

/// A path that a module names.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) module: ModuleId,
    pub(crate) line: usize,
    pub(crate) how: How,
    /// With `*` at its end for a glob.
    pub(crate) path: Vec<String>,
}

impl Names {
    /// What the crate with this root defines and names.
    ///
    /// # Panics
    /// Where a file is missing or is not Rust.
    pub(crate) fn of(sources: &Sources, root: &str) -> Self {
        let mut names = Self {
            modules: Vec::new(),
            references: Vec::new(),
            absolute: Vec::new(),
            fragments: Vec::new(),
            identifiers: BTreeSet::new(),
            calls: BTreeSet::new(),
            members: BTreeSet::new(),
            held: BTreeSet::new(),
            renames: BTreeMap::new(),
            unread: BTreeSet::new(),
            left_out: BTreeSet::new(),
        };
        names.add_file(sources, root.to_owned(), String::new(), None);
        names.resolve_renames();
        let modules = &names.modules;
        names.references.retain(|reference| {
            let [name] = reference.path.as_slice() else {
                return true;
            };
            // A variable hides a function of that name.
            !modules[reference.module].bindings.contains(name)
        });
        names
    }

    /// Adds the names that other names stand for to all that is found by its name.
    fn resolve_renames(&mut self) {
        let renames = mem::take(&mut self.renames);
        for found in [&mut self.identifiers, &mut self.calls, &mut self.held] {
            let mut queue: Vec<_> = found.iter().cloned().collect();
            while let Some((module, name, line)) = queue.pop() {
                for original in renames.get(&name).into_iter().flatten() {
                    let occurrence = (module, original.clone(), line);
                    if found.insert(occurrence.clone()) {
                        queue.push(occurrence);
                    }
                }
            }
        }
    }

    fn add_file(
        &mut self,
        sources: &Sources,
        file: String,
        path: String,
        parent: Option<ModuleId>,
    ) -> ModuleId {
        let syntax = syn::parse_file(sources.text(&file))
            .unwrap_or_else(|err| panic!("{file}:{}: {err}", err.span().start().line));
        self.add_module(sources, file, path, parent, &syntax.items)
    }

    fn add_module(
        &mut self,
        sources: &Sources,
        file: String,
        path: String,
        parent: Option<ModuleId>,
        items: &[syn::Item],
    ) -> ModuleId {
        let module = self.modules.len();
        self.modules.push(Module {
            path,
            file,
            parent,
            is_face: true,
            ..Module::default()
        });
        let mut reader = Reader {
            names: self,
            sources,
            module,
            depth: 0,
            is_borrowed: false,
        };
        for item in items {
            reader.visit_item(item);
        }
        module
    }
}

/// Reads the items of one module.
pub(crate) struct Reader<'a> {
    pub(crate) names: &'a mut Names,
    sources: &'a Sources,
    pub(crate) module: ModuleId,
    /// How many items surround what is read.
    depth: usize,
    /// Whether the next path is that of `&dyn`.
    is_borrowed: bool,
}

impl Reader<'_> {
    fn this(&mut self) -> &mut Module {
        &mut self.names.modules[self.module]
    }

    fn define(&mut self, name: &syn::Ident, what: Name) {
        let names = &mut self.this().names;
        names.entry(name.to_string()).or_default().push(what);
    }

    fn rename(&mut self, original: &str, name: &syn::Ident) {
        if name != original {
            let originals = self.names.renames.entry(name.to_string()).or_default();
            originals.insert(original.to_owned());
        }
    }

    pub(crate) fn unread(&mut self, code: &str, line: usize) {
        let unread = (self.module, code.to_owned(), line);
        self.names.unread.insert(unread);
    }

    /// Reads a path that begins with `::`.
    pub(crate) fn read_absolute(&mut self, path: Vec<String>, line: usize) {
        if path.first().is_some_and(|first| first == LIBRARY) {
            self.unread(&format!("::{LIBRARY}"), line);
        }
        self.names.absolute.push(Reference {
            module: self.module,
            line,
            how: How::Inline,
            path,
        });
    }

    pub(crate) fn hold(&mut self, name: &proc_macro2::Ident) {
        let held = (self.module, name.to_string(), name.span().start().line);
        self.names.held.insert(held);
    }

    pub(crate) fn read_member(&mut self, name: &proc_macro2::Ident) {
        let member = (self.module, name.to_string(), name.span().start().line);
        self.names.members.insert(member);
    }

    pub(crate) fn call(&mut self, name: &proc_macro2::Ident) {
        let call = (self.module, name.to_string(), name.span().start().line);
        self.names.calls.insert(call);
    }

    pub(crate) fn refer(&mut self, how: How, path: Vec<String>, line: usize) {
        self.names.references.push(Reference {
            module: self.module,
            line,
            how,
            path,
        });
    }

    fn read_mod(&mut self, item: &syn::ItemMod) {
        let Module { path, file, .. } = &self.names.modules[self.module];
        let name = item.ident.to_string();
        let path = match path.as_str() {
            "" => name.clone(),
            parent => format!("{parent}::{name}"),
        };
        let parent = Some(self.module);
        let file = file.clone();
        let module = if let Some((_, items)) = &item.content {
            let file = file.clone();
            (self.names).add_module(self.sources, file, path, parent, items)
        } else {
            let renamed = path_attribute(&item.attrs).is_some();
            assert!(!renamed, "{file}: mod {name} has a #[path]");
            let file = self.sources.module_file(&folder_of_children(&file), &name);
            self.names.add_file(self.sources, file, path, parent)
        };
        self.define(&item.ident, Name::Module(module));
    }

    fn read_use(&mut self, item: &syn::ItemUse) {
        let how = match item.vis {
            syn::Visibility::Inherited => How::Import,
            _ => How::Reexport,
        };
        let mut leaves = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut leaves);
        for (mut path, name, line) in leaves {
            if item.leading_colon.is_some() {
                // Of another crate.
                let absolute = mem::take(&mut path);
                if let Some(name) = &name {
                    let names = &mut self.this().absolute;
                    names.insert(name.to_string(), absolute.clone());
                }
                self.read_absolute(absolute, line);
            }
            for name in &path {
                let identifier = (self.module, name.clone(), line);
                self.names.identifiers.insert(identifier);
            }
            if !path.is_empty() {
                self.refer(how, path.clone(), line);
            }
            if path.last().is_some_and(|last| last == "*") {
                self.this().globs.push(path[..path.len() - 1].to_vec());
            } else if let Some(name) = name {
                if let Some(original) = path.last() {
                    self.rename(original, &name);
                }
                self.define(&name, Name::Use(path));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_left_out(attributes(item)) {
            if let syn::Item::Mod(item) = item
                && item.content.is_none()
            {
                let folder = folder_of_children(&self.this().file);
                let file = self.sources.module_file(&folder, &item.ident.to_string());
                self.names.left_out.insert(file);
            }
            return;
        }
        match item {
            syn::Item::Mod(item) => return self.read_mod(item),
            syn::Item::Use(item) => {
                let private = matches!(item.vis, syn::Visibility::Inherited);
                self.this().is_face &= !private;
                return self.read_use(item);
            }
            _ => self.this().is_face = false,
        }
        if let Some(name) = defined(item) {
            self.define(name, Name::Item);
        }
        if let syn::Item::Type(alias) = item {
            let mut paths = LastNames(Vec::new());
            paths.visit_type(&alias.ty);
            for original in paths.0 {
                self.rename(&original, &alias.ident);
            }
        }
        self.depth += 1;
        visit::visit_item(self, item);
        self.depth -= 1;
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if !is_left_out(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_left_out(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast syn::Stmt) {
        let attributes = match statement {
            syn::Stmt::Local(local) => local.attrs.as_slice(),
            syn::Stmt::Macro(statement) => &statement.attrs,
            syn::Stmt::Expr(syn::Expr::Block(block), _) => &block.attrs,
            syn::Stmt::Expr(..) | syn::Stmt::Item(_) => &[],
        };
        if !is_left_out(attributes) {
            visit::visit_stmt(self, statement);
        }
    }

    fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
        if let syn::Type::TraitObject(object) = &*reference.elem {
            for bound in &object.bounds {
                self.is_borrowed = true;
                self.visit_type_param_bound(bound);
            }
            self.is_borrowed = false;
        } else {
            visit::visit_type_reference(self, reference);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let is_borrowed = mem::take(&mut self.is_borrowed);
        if let Some(last) = path.segments.last().filter(|_| !is_borrowed) {
            self.hold(&last.ident);
        }
        let names = path.segments.iter().map(|part| part.ident.to_string());
        let (names, line) = (names.collect(), path.span().start().line);
        if path.leading_colon.is_none() {
            self.refer(How::Inline, names, line);
        } else {
            self.read_absolute(names, line);
        }
        visit::visit_path(self, path);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let line = item.ident.span().start().line;
        self.unread(&format!("extern crate {}", item.ident), line);
        visit::visit_item_extern_crate(self, item);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(last) = call
            .path
            .segments
            .last()
            .filter(|part| part.ident == "include")
        {
            self.unread("include!", last.ident.span().start().line);
        }
        self.visit_path(&call.path);
        self.read_tokens(call.tokens.clone());
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        // A constant is written in capitals, and so no variable.
        let name = pattern.ident.to_string();
        if name.starts_with(|c: char| c.is_lowercase() || c == '_') {
            self.this().bindings.insert(name);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.call(&call.method);
        self.read_member(&call.method);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(function) = &*call.func
            && let Some(name) = function.path.get_ident()
        {
            self.call(name);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_path(&mut self, expr: &'ast syn::ExprPath) {
        // A function that is given away counts as well. A single name may be a variable.
        let parts = &expr.path.segments;
        if let Some(last) = parts
            .last()
            .filter(|_| parts.len() > 1 || expr.qself.is_some())
        {
            self.call(&last.ident);
            self.read_member(&last.ident);
        }
        visit::visit_expr_path(self, expr);
    }

    fn visit_expr_field(&mut self, field: &'ast syn::ExprField) {
        if let syn::Member::Named(name) = &field.member {
            self.read_member(name);
        }
        visit::visit_expr_field(self, field);
    }

    fn visit_field_pat(&mut self, field: &'ast syn::FieldPat) {
        if let syn::Member::Named(name) = &field.member {
            self.read_member(name);
        }
        visit::visit_field_pat(self, field);
    }

    fn visit_ident(&mut self, ident: &'ast proc_macro2::Ident) {
        let line = ident.span().start().line;
        let identifier = (self.module, ident.to_string(), line);
        self.names.identifiers.insert(identifier);
    }

    // Neither docs nor lints are code, and where a thing may be seen is no import.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}
