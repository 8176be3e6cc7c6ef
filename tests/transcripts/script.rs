//! Parses a transcript.

#![allow(unreachable_pub, reason = "a module of a test, and public there")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

/// A transcript.
#[derive(Debug, Default)]
pub struct Script {
    pub settings: Vec<(String, String)>,
    pub steps: Vec<Step>,
    /// Its `T` lines.
    pub tree: Vec<String>,
}

/// A line that makes the client act.
#[derive(Debug)]
pub struct Step {
    pub number: usize,
    pub line: String,
    pub action: Action,
    pub text: String,
    /// The `S:` and `D<` lines after it.
    pub expected: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Command,
    Raw,
    Urgent,
    Payload,
    Data,
    Directive,
}

impl Script {
    /// Whether the transcript sends urgent data.
    pub fn is_urgent(&self) -> bool {
        self.steps.iter().any(|step| step.action == Action::Urgent)
    }

    pub fn parse(text: &str) -> Self {
        let mut script = Self::default();
        for (index, line) in text.split('\n').enumerate() {
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            let action = match mark {
                "C:" => Action::Command,
                "C-" => Action::Raw,
                "C^" => Action::Urgent,
                "D>" => Action::Payload,
                "D:" => Action::Data,
                "!" => Action::Directive,
                "S:" | "D<" => {
                    let step = script.steps.last_mut().unwrap();
                    step.expected.push(line.to_owned());
                    continue;
                }
                "T:" | "T-" => {
                    script.tree.push(line.to_owned());
                    continue;
                }
                "@" => {
                    let (key, value) = rest.split_once(" = ").unwrap();
                    script.settings.push((key.to_owned(), value.to_owned()));
                    continue;
                }
                "" | "#" | "B:" | "BT:" | "P:" | "P<" | "PT:" | "PT-" => continue,
                _ => panic!("line {}: what is this? {line}", index + 1),
            };
            script.steps.push(Step {
                number: index + 1,
                line: line.to_owned(),
                action,
                text: rest.to_owned(),
                expected: Vec::new(),
            });
        }
        script
    }
}

/// Returns the bytes that a text with escapes stands for.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        match rest.as_bytes()[0] {
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b'\\' => bytes.push(b'\\'),
            b'x' => {
                bytes.push(u8::from_str_radix(&rest[1..3], 16).unwrap());
                rest = &rest[2..];
            }
            b'{' => {
                let (inner, after) = rest[1..].split_once('}').unwrap();
                let (count, what) = inner.split_once('*').unwrap();
                bytes.extend(unescape(what).repeat(count.parse().unwrap()));
                rest = after;
                continue;
            }
            other => panic!("no escape: {:?}", char::from(other)),
        }
        rest = &rest[1..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Returns the bytes to send or to write to a file: `*N` is a pattern of that size.
pub fn content(text: &str) -> Vec<u8> {
    match text.strip_prefix('*').map(str::parse) {
        Some(Ok(size)) => (0..=u8::MAX).cycle().take(size).collect(),
        _ => unescape(text),
    }
}

/// Returns bytes as they are written in a transcript.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => text.push_str("\\\\"),
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\0'..='\x1f' | '\x7f' => text.push_str(&format!("\\x{:02x}", char as u32)),
                _ => text.push(char),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if text.ends_with(' ') {
        text.truncate(text.len() - 1);
        text.push_str("\\x20");
    }
    text
}

/// Returns the lines that show received data.
pub fn payload(bytes: &[u8]) -> Vec<String> {
    if bytes.len() > 1_000_000 {
        return vec![format!("({} bytes)", bytes.len())];
    }
    if bytes.len() > 4000 {
        let (size, crc) = (bytes.len(), crc32(bytes));
        return vec![format!("({size} bytes, CRC-32 {crc:08x})")];
    }
    if bytes.is_empty() {
        return vec!["\\z".to_owned()];
    }
    let line = |line: &[u8]| match line.strip_suffix(b"\n") {
        Some(line) => match line.strip_suffix(b"\r") {
            Some(line) => escape(line),
            None => escape(line) + "\\n",
        },
        None => escape(line) + "\\z",
    };
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(line)
        .collect()
}

/// Returns the CRC-32, as zlib computes it.
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index;
            let mut bit = 0;
            while bit < 8 {
                let carry = value & 1;
                value >>= 1;
                if carry == 1 {
                    value ^= 0xEDB8_8320;
                }
                bit += 1;
            }
            table[index as usize] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8)
    })
}
