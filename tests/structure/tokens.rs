//! The tokens of a macro, which need not be Rust.

use proc_macro2::{Delimiter, Ident, Spacing, TokenStream, TokenTree};
use syn::visit::Visit as _;

use crate::names::{How, Reader, Reference};

/// Keywords that a path may follow; `crate`, `self`, `super` and `Self` begin one instead.
const KEYWORDS: [&str; 18] = [
    "as", "break", "const", "dyn", "else", "for", "if", "impl", "in", "let", "match", "move",
    "mut", "ref", "return", "use", "where", "while",
];

fn is_keyword(ident: &Ident) -> bool {
    KEYWORDS.iter().any(|keyword| ident == keyword)
}

/// The tokens of one group.
struct Tokens(Vec<TokenTree>);

impl Tokens {
    fn ident(&self, at: usize) -> Option<&Ident> {
        match self.0.get(at)? {
            TokenTree::Ident(ident) => Some(ident),
            _ => None,
        }
    }

    fn is_word(&self, at: usize, word: &str) -> bool {
        self.ident(at).is_some_and(|ident| ident == word)
    }

    fn is_punct(&self, at: usize, punct: char) -> bool {
        match self.0.get(at) {
            Some(TokenTree::Punct(found)) => found.as_char() == punct,
            _ => false,
        }
    }

    fn is_colons(&self, at: usize) -> bool {
        match self.0.get(at) {
            Some(TokenTree::Punct(first)) => {
                let is_joint = first.as_char() == ':' && first.spacing() == Spacing::Joint;
                is_joint && self.is_punct(at + 1, ':')
            }
            _ => false,
        }
    }

    fn group(&self, at: usize, delimiter: Delimiter) -> Option<TokenStream> {
        match self.0.get(at)? {
            TokenTree::Group(group) if group.delimiter() == delimiter => Some(group.stream()),
            _ => None,
        }
    }

    /// Whether a name, or what ends a type, stands here before the `::` of a path.
    fn ends_path(&self, at: usize) -> bool {
        self.is_punct(at, '>') || self.ident(at).is_some_and(|ident| !is_keyword(ident))
    }
}

impl Reader<'_> {
    /// The paths among the tokens of a macro.
    pub(crate) fn read_tokens(&mut self, tokens: TokenStream) {
        let tokens = Tokens(tokens.into_iter().collect());
        let mut at = 0;
        while let Some(token) = tokens.0.get(at) {
            match token {
                TokenTree::Ident(ident) => {
                    at = self.read_path(&tokens, at, ident);
                    continue;
                }
                TokenTree::Group(group) => self.read_tokens(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    /// Reads the path that begins with this name, and returns where it ends.
    fn read_path(&mut self, tokens: &Tokens, start: usize, first: &Ident) -> usize {
        let line = first.span().start().line;
        let mut path = vec![first.to_string()];
        let mut last = first;
        self.visit_ident(first);
        let mut at = start + 1;
        let mut tree = None;
        while tokens.is_colons(at) && !is_keyword(first) {
            let next = at + 2;
            if let Some(ident) = tokens.ident(next) {
                self.visit_ident(ident);
                path.push(ident.to_string());
                last = ident;
                at += 3;
                continue;
            }
            if tokens.is_punct(next, '$') {
                self.fragment(&path, line);
            } else if tokens.is_punct(next, '*') {
                tree = Some(tokens.0[next].clone().into());
            } else if let Some(group) = tokens.group(next, Delimiter::Brace) {
                tree = Some(group);
                // Its names are no paths of their own.
                at += 3;
            }
            break;
        }
        let before = |distance: usize, holds: &dyn Fn(usize) -> bool| {
            start.checked_sub(distance).is_some_and(holds)
        };
        let is_called = tokens.group(at, Delimiter::Parenthesis).is_some();
        if is_called && !before(1, &|at| tokens.is_word(at, "fn")) {
            self.call(last);
        }
        if last == "include" && tokens.is_punct(at, '!') {
            self.unread("include!", line);
        }
        if first == "crate" && before(1, &|at| tokens.is_word(at, "extern")) {
            self.unread("extern crate", line);
        }
        if before(1, &|at| tokens.is_word(at, "dyn")) {
            // `&dyn`, `&mut dyn`, and both with a lifetime.
            let is_borrowed = before(2, &|at| {
                tokens.is_punct(at, '&') || tokens.is_word(at, "mut")
            }) || before(3, &|at| tokens.is_punct(at, '\''));
            if !is_borrowed {
                self.hold(last);
            }
        }
        let is_member = before(1, &|at| tokens.is_punct(at, '.'));
        if is_member || path.len() > 1 {
            self.read_member(last);
        }
        // After `::` it is what another crate has, and otherwise a field, a method or a
        // lifetime.
        if before(2, &|at| tokens.is_colons(at)) {
            if !before(3, &|at| tokens.ends_path(at)) {
                self.read_absolute(path, line);
            }
        } else if !before(1, &|at| {
            tokens.is_punct(at, '.') || tokens.is_punct(at, '\'')
        }) {
            match tree {
                Some(tree) => self.read_tree(&path, tree),
                None => self.refer(How::Inline, path, line),
            }
        }
        at
    }

    /// The paths of an import after `path::`: a group, or `*`.
    fn read_tree(&mut self, path: &[String], tree: TokenStream) {
        let mut tokens = tree.into_iter().peekable();
        while tokens.peek().is_some() {
            let mut path = path.to_vec();
            let mut line = 0;
            let mut is_renamed = false;
            for token in tokens.by_ref() {
                line = token.span().start().line;
                match token {
                    TokenTree::Punct(punct) if punct.as_char() == ',' => break,
                    TokenTree::Punct(punct) if punct.as_char() == '*' => path.push("*".to_owned()),
                    TokenTree::Punct(punct) if punct.as_char() == '$' => {
                        self.fragment(&path, line);
                        is_renamed = true;
                    }
                    TokenTree::Ident(ident) if ident == "as" => is_renamed = true,
                    TokenTree::Ident(ident) if !is_renamed => {
                        self.visit_ident(&ident);
                        // `a::{self}` is `a`.
                        if ident != "self" {
                            path.push(ident.to_string());
                        }
                    }
                    TokenTree::Group(group) => {
                        self.read_tree(&path, group.stream());
                        path.clear();
                    }
                    _ => {}
                }
            }
            if !path.is_empty() {
                self.refer(How::Inline, path, line);
            }
        }
    }

    /// Notes a path that ends in a `$name`, unless another crate defines it.
    fn fragment(&mut self, path: &[String], line: usize) {
        if ["crate", "self", "super"].contains(&path[0].as_str()) {
            self.names.fragments.push(Reference {
                module: self.module,
                line,
                how: How::Inline,
                path: path.to_vec(),
            });
        }
    }
}
