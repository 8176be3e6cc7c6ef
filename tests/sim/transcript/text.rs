//! Values as words of a line, and back.

use std::net::SocketAddr;
use std::time::Duration;

/// A value that is written as words.
pub trait Text: Sized {
    fn put(&self, out: &mut Vec<String>);
    fn take(words: &mut Words<'_>) -> Result<Self, String>;
}

/// The words of a line, from the first one on.
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub fn new(line: &'a str) -> Self {
        Self { rest: line.trim() }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next word. One in quotes may hold spaces, and keeps its quotes.
    pub fn next(&mut self) -> Result<&'a str, String> {
        let rest = self.rest;
        if rest.is_empty() {
            return Err("a word is missing".to_owned());
        }
        let end = match rest.strip_prefix('"') {
            None => rest.find(' ').unwrap_or(rest.len()),
            Some(inside) => {
                let mut escaped = false;
                let end = inside.bytes().position(|byte| {
                    let is_end = byte == b'"' && !escaped;
                    escaped = byte == b'\\' && !escaped;
                    is_end
                });
                end.ok_or("a quote is missing")? + 2
            }
        };
        self.rest = rest[end..].trim_start();
        Ok(&rest[..end])
    }

    /// Takes this word.
    pub fn expect(&mut self, word: &str) -> Result<(), String> {
        match self.next()? {
            found if found == word => Ok(()),
            found => Err(format!("{found} in place of {word}")),
        }
    }
}

macro_rules! numbers {
    ($($type:ty)*) => { $(
        impl Text for $type {
            fn put(&self, out: &mut Vec<String>) {
                out.push(match *self {
                    <$type>::MAX => "max".to_owned(),
                    number => number.to_string(),
                });
            }

            fn take(words: &mut Words<'_>) -> Result<Self, String> {
                match words.next()? {
                    "max" => Ok(Self::MAX),
                    word => word.parse().map_err(|_| format!("{word} is no number")),
                }
            }
        }
    )* };
}

numbers! { u8 u16 u32 u64 usize i32 i64 }

macro_rules! parsed {
    ($($type:ty)*) => { $(
        impl Text for $type {
            fn put(&self, out: &mut Vec<String>) {
                out.push(self.to_string());
            }

            fn take(words: &mut Words<'_>) -> Result<Self, String> {
                let word = words.next()?;
                word.parse().map_err(|_| format!("{word} is wrong"))
            }
        }
    )* };
}

parsed! { bool SocketAddr }

/// In seconds.
impl Text for Duration {
    fn put(&self, out: &mut Vec<String>) {
        let text = format!("{}.{:09}", self.as_secs(), self.subsec_nanos());
        let text = text.trim_end_matches('0').trim_end_matches('.');
        out.push(text.to_owned());
    }

    fn take(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next()?;
        let (seconds, fraction) = word.split_once('.').unwrap_or((word, ""));
        let wrong = || format!("{word} is no time");
        let nanos = format!("{fraction:0<9}");
        let (Ok(seconds), Ok(nanos)) = (seconds.parse(), nanos.parse::<u32>()) else {
            return Err(wrong());
        };
        Ok(Self::new(seconds, nanos))
    }
}

/// In quotes, with the escapes of Rust.
impl Text for Vec<u8> {
    fn put(&self, out: &mut Vec<String>) {
        out.push(format!("\"{}\"", self.escape_ascii()));
    }

    fn take(words: &mut Words<'_>) -> Result<Self, String> {
        let word = words.next()?;
        let inside = word.strip_prefix('"').and_then(|x| x.strip_suffix('"'));
        let inside = inside.ok_or_else(|| format!("{word} has no quotes"))?;
        unescape(inside.as_bytes()).ok_or_else(|| format!("{word} has a wrong escape"))
    }
}

fn unescape(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some((first, rest)) = text.split_first() {
        text = rest;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (escape, rest) = text.split_first()?;
        text = rest;
        bytes.push(match escape {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = std::str::from_utf8(text.get(..2)?).ok()?;
                text = &text[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            b'\\' | b'"' | b'\'' => *escape,
            _ => return None,
        });
    }
    Some(bytes)
}

impl Text for String {
    fn put(&self, out: &mut Vec<String>) {
        self.as_bytes().to_vec().put(out);
    }

    fn take(words: &mut Words<'_>) -> Result<Self, String> {
        Self::from_utf8(Vec::take(words)?).map_err(|err| err.to_string())
    }
}

/// `-` is nothing.
impl<T: Text> Text for Option<T> {
    fn put(&self, out: &mut Vec<String>) {
        match self {
            Some(value) => value.put(out),
            None => out.push("-".to_owned()),
        }
    }

    fn take(words: &mut Words<'_>) -> Result<Self, String> {
        if words.rest == "-" || words.rest.starts_with("- ") {
            words.expect("-")?;
            return Ok(None);
        }
        T::take(words).map(Some)
    }
}

/// With commas; `-` is none.
impl Text for Vec<usize> {
    fn put(&self, out: &mut Vec<String>) {
        let numbers: Vec<String> = self.iter().map(usize::to_string).collect();
        out.push(match numbers.is_empty() {
            true => "-".to_owned(),
            false => numbers.join(","),
        });
    }

    fn take(words: &mut Words<'_>) -> Result<Self, String> {
        match words.next()? {
            "-" => Ok(Self::new()),
            word => {
                let numbers: Result<_, _> = word.split(',').map(str::parse).collect();
                numbers.map_err(|_| format!("{word} is no list of numbers"))
            }
        }
    }
}

impl<T: Text, U: Text> Text for (T, U) {
    fn put(&self, out: &mut Vec<String>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(words: &mut Words<'_>) -> Result<Self, String> {
        Ok((T::take(words)?, U::take(words)?))
    }
}

/// Writes a structure as its fields, each with its name.
macro_rules! record {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl Text for $type {
            fn put(&self, out: &mut Vec<String>) {
                $(
                    out.push(stringify!($field).to_owned());
                    self.$field.put(out);
                )*
            }

            fn take(words: &mut Words<'_>) -> Result<Self, String> {
                $(
                    words.expect(stringify!($field))?;
                    let $field = Text::take(words)?;
                )*
                Ok(Self { $($field),* })
            }
        }
    };
}

/// Writes an enumeration as the name of the variant, and its fields with their names.
macro_rules! choice {
    (
        $type:ident:
        [$($unit:ident),* $(,)?]
        [$($tuple:ident),* $(,)?]
        [$($variant:ident { $($field:ident),* $(,)? }),* $(,)?]
    ) => {
        impl Text for $type {
            fn put(&self, out: &mut Vec<String>) {
                match self {
                    $(Self::$unit => out.push(stringify!($unit).to_owned()),)*
                    $(Self::$tuple(value) => {
                        out.push(stringify!($tuple).to_owned());
                        value.put(out);
                    })*
                    $(Self::$variant { $($field),* } => {
                        out.push(stringify!($variant).to_owned());
                        $(
                            out.push(stringify!($field).to_owned());
                            $field.put(out);
                        )*
                    })*
                }
            }

            fn take(words: &mut Words<'_>) -> Result<Self, String> {
                match words.next()? {
                    $(stringify!($unit) => Ok(Self::$unit),)*
                    $(stringify!($tuple) => Ok(Self::$tuple(Text::take(words)?)),)*
                    $(stringify!($variant) => {
                        $(
                            words.expect(stringify!($field))?;
                            let $field = Text::take(words)?;
                        )*
                        Ok(Self::$variant { $($field),* })
                    })*
                    other => Err(format!("{other} is no {}", stringify!($type))),
                }
            }
        }
    };
}

pub(super) use {choice, record};
