//! Patterns of NLST and others, against a matcher that tries everything.
//!
//! Input: a pattern, a NUL, a name.

#![no_main]

use std::time::{Duration, Instant};

use ftpdlib::proto::pattern::{Pattern, has_magic, matches};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (pattern, name) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &b"name"[..]),
    };
    let found = matches(pattern, name);
    if pattern.len() * name.len() <= 1 << 14 {
        let hidden = name.first() == Some(&b'.') && !begins_with_dot(pattern);
        assert_eq!(found, !hidden && model(&tokens(pattern), name));
    }
    if !has_magic(pattern) && !pattern.contains(&b'\\') {
        assert_eq!(found, pattern == name);
    }
    let quoted: Vec<u8> = name.iter().flat_map(|byte| [b'\\', *byte]).collect();
    assert!(matches(&quoted, name));
    assert_eq!(matches(b"*", name), name.first() != Some(&b'.'));

    // The longest that a line of a client holds, many times over.
    let long = Pattern::new(&pattern.repeat(2048 / pattern.len().max(1)));
    let name = name.repeat(4096 / name.len().max(1));
    let start = Instant::now();
    std::hint::black_box(long.matches(&name));
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(2), "took {elapsed:?}");
});

enum Token {
    Any,
    One,
    Byte(u8),
    Set(Vec<(u8, u8)>, bool),
}

fn begins_with_dot(pattern: &[u8]) -> bool {
    matches!(tokens(pattern).first(), Some(Token::Byte(b'.')))
}

fn tokens(mut pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some((first, rest)) = pattern.split_first() {
        pattern = rest;
        tokens.push(match first {
            b'*' => Token::Any,
            b'?' => Token::One,
            b'[' => match set(rest) {
                Some((ranges, negated, rest)) => {
                    pattern = rest;
                    Token::Set(ranges, negated)
                }
                None => Token::Byte(b'['),
            },
            b'\\' if !rest.is_empty() => {
                pattern = &rest[1..];
                Token::Byte(rest[0])
            }
            byte => Token::Byte(*byte),
        });
    }
    tokens
}

type Set<'a> = (Vec<(u8, u8)>, bool, &'a [u8]);

fn set(text: &[u8]) -> Option<Set<'_>> {
    let negated = matches!(text.first()?, b'!' | b'^');
    let mut at = usize::from(negated);
    let start = at;
    let mut ranges = Vec::new();
    let member = |at: &mut usize| {
        if text.get(*at)? == &b'\\' && *at + 1 < text.len() {
            *at += 1;
        }
        *at += 1;
        Some(text[*at - 1])
    };
    loop {
        if text.get(at)? == &b']' && at > start {
            return Some((ranges, negated, &text[at + 1..]));
        }
        let low = member(&mut at)?;
        let mut high = low;
        if text.get(at) == Some(&b'-') && text.get(at + 1).is_some_and(|end| *end != b']') {
            at += 1;
            high = member(&mut at)?;
        }
        ranges.push((low, high));
    }
}

/// Whether the tokens match the whole name, by a table of all prefixes.
fn model(tokens: &[Token], name: &[u8]) -> bool {
    let mut row = vec![false; name.len() + 1];
    row[0] = true;
    for token in tokens {
        let mut next = vec![false; name.len() + 1];
        next[0] = row[0] && matches!(token, Token::Any);
        for (at, byte) in name.iter().enumerate() {
            next[at + 1] = match token {
                Token::Any => row[at + 1] || next[at],
                Token::One => row[at],
                Token::Byte(expected) => row[at] && byte == expected,
                Token::Set(ranges, negated) => {
                    let within = |(low, high): &(u8, u8)| (low..=high).contains(&byte);
                    row[at] && ranges.iter().any(within) != *negated
                }
            };
        }
        row = next;
    }
    row[name.len()]
}
