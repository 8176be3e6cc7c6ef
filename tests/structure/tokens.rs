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

impl Reader<'_> {
    /// The paths among the tokens of a macro.
    pub(crate) fn read_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let is_punct = |at: usize, punct: char| match tokens.get(at) {
            Some(TokenTree::Punct(found)) => found.as_char() == punct,
            _ => false,
        };
        let is_colons = |at: usize| match tokens.get(at) {
            Some(TokenTree::Punct(first)) => {
                first.as_char() == ':' && first.spacing() == Spacing::Joint && is_punct(at + 1, ':')
            }
            _ => false,
        };
        let is_call = |at: usize| match tokens.get(at) {
            Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
            _ => false,
        };
        let is_word = |at: usize, word: &str| match &tokens[at] {
            TokenTree::Ident(ident) => ident == word,
            _ => false,
        };
        // A name, or what ends a type, before the `::` of a path.
        let ends_path = |at: usize| match &tokens[at] {
            TokenTree::Ident(ident) => !is_keyword(ident),
            TokenTree::Punct(punct) => punct.as_char() == '>',
            TokenTree::Group(_) | TokenTree::Literal(_) => false,
        };
        let is_fn = |at: usize| is_word(at, "fn");
        let mut at = 0;
        while at < tokens.len() {
            let start = at;
            at += 1;
            match &tokens[start] {
                TokenTree::Group(group) => self.read_tokens(group.stream()),
                TokenTree::Ident(ident) => {
                    let before = |distance: usize| start.checked_sub(distance);
                    let follows = |punct| before(1).is_some_and(|at| is_punct(at, punct));
                    let mut path = vec![ident.to_string()];
                    let mut last = ident;
                    self.visit_ident(ident);
                    let line = ident.span().start().line;
                    let mut tree = None;
                    while is_colons(at) && !is_keyword(ident) {
                        if is_punct(at + 2, '$') {
                            self.fragment(&path, line);
                        }
                        if is_punct(at + 2, '*') {
                            tree = Some(tokens[at + 2].clone().into());
                        }
                        if let Some(TokenTree::Group(group)) = tokens.get(at + 2)
                            && group.delimiter() == Delimiter::Brace
                        {
                            tree = Some(group.stream());
                            // Its names are no paths of their own.
                            at += 3;
                            break;
                        }
                        let Some(TokenTree::Ident(ident)) = tokens.get(at + 2) else {
                            break;
                        };
                        self.visit_ident(ident);
                        path.push(ident.to_string());
                        last = ident;
                        at += 3;
                    }
                    if is_call(at) && !before(1).is_some_and(is_fn) {
                        self.call(last);
                    }
                    // A field or a method, a lifetime, and what another crate has.
                    let external = before(2).is_some_and(is_colons);
                    if external && !before(3).is_some_and(ends_path) {
                        self.read_absolute(&path[0], line);
                    }
                    if path.last().is_some_and(|last| last == "include") && is_punct(at, '!') {
                        self.unread("include!", line);
                    }
                    let is_extern = |at| is_word(at, "extern");
                    if ident == "crate" && before(1).is_some_and(is_extern) {
                        self.unread("extern crate", line);
                    }
                    if !follows('.') && !follows('\'') && !external {
                        match tree {
                            Some(tree) => self.read_tree(&path, tree),
                            None => self.refer(How::Inline, path, line),
                        }
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
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
