//! The tokens of a macro, which need not be Rust.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::visit::Visit as _;

use crate::names::{How, Reader};

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
        let is_fn = |at: usize| matches!(&tokens[at], TokenTree::Ident(ident) if ident == "fn");
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
                    while is_colons(at) {
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
                    if !follows('.') && !follows('\'') && !external {
                        self.refer(How::Inline, path, ident.span().start().line);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}
