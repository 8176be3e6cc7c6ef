//! Shell patterns for the last component of a path: `NLST *.txt`.
//!
//! Names and patterns are bytes: `?` and `[..]` stand for one byte. Paths with `/`, and the file
//! system, are not known here.

/// Whether a name is a pattern, which has `*`, `?` or `[`: as Python's `glob.has_magic`.
#[must_use]
pub fn has_magic(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// Whether a pattern matches a name. For many names, make a [`Pattern`] once.
#[must_use]
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    Pattern::new(pattern).matches(name)
}

/// A parsed shell pattern, to be compared with many names (POSIX.1 XCU §2.14).
///
/// `*` stands for any number of bytes, `?` for one, `[a-z]` for one of a set, `[!x]` or `[^x]` for
/// one that is not in the set. After `\` the next byte stands for itself, as does a `[` without its
/// `]`. Only a dot matches a dot at the start of a name.
#[derive(Debug, Clone)]
pub struct Pattern {
    tokens: Vec<Token>,
}

impl Pattern {
    /// Parses a pattern. Every text is a pattern. Takes time in proportion to its length.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut rest = pattern;
        // If there is no `]` after one `[`, there is none after a later one. A search for each of
        // them would take quadratic time.
        let mut closed = true;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let token = match byte {
                b'*' if matches!(tokens.last(), Some(Token::Any)) => continue,
                b'*' => Token::Any,
                b'?' => Token::One,
                b'[' if closed => match Set::parse(after) {
                    Some((set, after)) => {
                        rest = after;
                        Token::Of(set)
                    }
                    None => {
                        closed = false;
                        Token::Byte(b'[')
                    }
                },
                _ => {
                    let (byte, after) = quoted(byte, after);
                    rest = after;
                    Token::Byte(byte)
                }
            };
            tokens.push(token);
        }
        Self { tokens }
    }

    /// Whether the pattern matches the whole of `name`.
    ///
    /// Takes time in proportion to the length of the pattern times that of the name at most: only
    /// the last `*` is tried again with more bytes, since with an earlier one nothing more would
    /// match.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let hidden = name.first() == Some(&b'.');
        if hidden && !matches!(self.tokens.first(), Some(Token::Byte(b'.'))) {
            return false;
        }
        self.covers(name)
    }

    /// As [`matches`](Self::matches), but a dot at the start of a name is a byte like any other.
    #[must_use]
    pub fn covers(&self, name: &[u8]) -> bool {
        let (mut token, mut byte) = (0, 0);
        // The token behind the last `*`, and the first byte that the `*` does not cover.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&next) = name.get(byte) {
            let fits = match self.tokens.get(token) {
                Some(Token::Any) => {
                    token += 1;
                    star = Some((token, byte));
                    continue;
                }
                Some(Token::One) => true,
                Some(Token::Byte(expected)) => *expected == next,
                Some(Token::Of(set)) => set.has(next),
                None => false,
            };
            if fits {
                (token, byte) = (token + 1, byte + 1);
                continue;
            }
            let Some((behind, covered)) = star else {
                return false;
            };
            star = Some((behind, covered + 1));
            (token, byte) = (behind, covered + 1);
        }
        let left = self.tokens.get(token..).unwrap_or_default();
        left.iter().all(|token| matches!(token, Token::Any))
    }
}

#[derive(Debug, Clone)]
enum Token {
    Any,
    One,
    Byte(u8),
    Of(Set),
}

/// A set of bytes, with a bit for each byte.
#[derive(Debug, Clone)]
struct Set([u64; 4]);

impl Set {
    /// Parses the set that begins after `[`. Also returns the text that follows its `]`.
    fn parse(text: &[u8]) -> Option<(Self, &[u8])> {
        let mut set = Self([0; 4]);
        let (negated, mut rest) = match text.split_first()? {
            (b'!' | b'^', after) => (true, after),
            _ => (false, text),
        };
        let mut first = true;
        loop {
            let (&byte, after) = rest.split_first()?;
            // A `]` at the start is a member of the set.
            if byte == b']' && !first {
                if negated {
                    set.0 = set.0.map(|bits| !bits);
                }
                return Some((set, after));
            }
            first = false;
            let (low, after) = quoted(byte, after);
            rest = after;
            let mut high = low;
            if let [b'-', end, after @ ..] = after
                && *end != b']'
            {
                (high, rest) = quoted(*end, after);
            }
            for member in low..=high {
                if let Some(bits) = set.0.get_mut(usize::from(member / 64)) {
                    *bits |= 1 << (member % 64);
                }
            }
        }
    }

    fn has(&self, byte: u8) -> bool {
        let bits = self.0.get(usize::from(byte / 64));
        bits.is_some_and(|bits| bits >> (byte % 64) & 1 == 1)
    }
}

/// Returns the byte that `byte` stands for, which `\` may quote, and the text that follows it. A
/// `\` at the end stands for itself.
fn quoted(byte: u8, after: &[u8]) -> (u8, &[u8]) {
    match after.split_first() {
        Some((&next, after)) if byte == b'\\' => (next, after),
        _ => (byte, after),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for name in yes {
            assert!(
                matches(pattern.as_bytes(), name.as_bytes()),
                "{pattern} {name}"
            );
        }
        for name in no {
            assert!(
                !matches(pattern.as_bytes(), name.as_bytes()),
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn magic() {
        for name in ["*", "a?", "[a]", "a["] {
            assert!(has_magic(name.as_bytes()));
        }
        for name in ["", "a", "a]", "\\a", "-"] {
            assert!(!has_magic(name.as_bytes()));
        }
    }

    #[test]
    fn patterns() {
        check("", &[""], &["a"]);
        check("*", &["", "a", "abc"], &[".", ".a"]);
        check("a*c", &["ac", "abc", "abcc"], &["a", "acb", "xac"]);
        check("*.txt", &["a.txt", "a.txt.txt"], &["a.txt.", ".txt", "txt"]);
        check("?b?", &["abc", "xbx"], &["b", "ab", "abcd", ".bc"]);
        check("[a-c]x", &["ax", "bx", "cx"], &["dx", "x", "-x"]);
        check("[!a-c]x", &["dx", "-x"], &["ax", ".x"]);
        check("[^a]", &["b"], &["a"]);
        check("[]a]", &["]", "a"], &["b"]);
        check("[!]a]", &["b"], &["]", "a"]);
        check("[a-]", &["a", "-"], &["b"]);
        check("[c-a]", &[], &["a", "b", "c", "-"]);
        check("[\\]]", &["]"], &["\\", "a"]);
        check("[a", &["[a"], &["a"]);
        check("[]", &["[]"], &["]"]);
        check("[[a]", &["[", "a"], &["[[a]"]);
        check("\\*", &["*"], &["a", "\\*"]);
        check("a\\", &["a\\"], &["a"]);
        check(".*", &[".", ".a"], &["a"]);
        check("\\.*", &[".a"], &["a"]);
        check("[.]a", &[], &[".a"]);
        check("*.", &["a."], &["."]);
        check("*\u{e9}*", &["caf\u{e9}s"], &["cafe"]);
    }

    #[test]
    fn a_dot_may_be_a_byte_like_others() {
        for (pattern, name) in [("*.txt", ".txt"), ("?a", ".a"), ("[.]a", ".a"), ("*", ".")] {
            let pattern = Pattern::new(pattern.as_bytes());
            assert!(pattern.covers(name.as_bytes()) && !pattern.matches(name.as_bytes()));
        }
        assert!(!Pattern::new(b"*.txt").covers(b".txt.a"));
    }

    #[test]
    fn the_worst_case_is_quick() {
        let name = b"a".repeat(4096);
        let pattern = [b"a*".repeat(1024), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &name));
        assert!(!matches(&b"[".repeat(2048), &name));
        assert!(matches(&b"[".repeat(2048), &b"[".repeat(2048)));
    }

    /// The definition, which may take exponential time.
    fn naive(pattern: &[Token], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], _) => name.is_empty(),
            ([Token::Any, rest @ ..], _) => {
                (0..=name.len()).any(|covered| naive(rest, &name[covered..]))
            }
            ([token, rest @ ..], [byte, after @ ..]) => {
                let fits = match token {
                    Token::Byte(expected) => expected == byte,
                    Token::Of(set) => set.has(*byte),
                    Token::One | Token::Any => true,
                };
                fits && naive(rest, after)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn as_the_naive_model(pattern in "[ab*?!\\[\\]\\\\-]{0,10}", name in "[ab\\[\\]\\\\-]{0,10}") {
            let compiled = Pattern::new(pattern.as_bytes());
            prop_assert_eq!(compiled.matches(name.as_bytes()), naive(&compiled.tokens, name.as_bytes()));
        }

        #[test]
        fn nothing_panics(pattern in any::<Vec<u8>>(), name in any::<Vec<u8>>()) {
            let _ = matches(&pattern, &name);
        }

        #[test]
        fn quoted_names_match_themselves(name in any::<Vec<u8>>()) {
            let pattern: Vec<u8> = name.iter().flat_map(|&byte| [b'\\', byte]).collect();
            prop_assert!(matches(&pattern, &name));
        }
    }
}
