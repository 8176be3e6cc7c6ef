//! The line ends of TYPE A: a line ends with LF in a file, and with CRLF on the network
//! (RFC 959 §3.1.1.1).
//!
//! Both converters take a stream in chunks of any size. A server on a system whose line end is CRLF
//! needs neither.

use memchr::memchr_iter;

/// A converter from a file to the network: each LF becomes CRLF, unless a CR precedes it. As in
/// pyftpdlib.
#[derive(Debug, Clone, Default)]
pub struct ToNetwork {
    /// Whether the last byte so far was a CR.
    after_cr: bool,
}

impl ToNetwork {
    /// Converts the next chunk of the stream, and appends it to `out`.
    pub fn convert(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let Some(&last) = chunk.last() else {
            return;
        };
        // The lines of a text are seldom shorter than 16 bytes on average.
        out.reserve(chunk.len() + chunk.len() / 16);
        let mut start = 0;
        for lf in memchr_iter(b'\n', chunk) {
            let line = chunk.get(start..lf).unwrap_or_default();
            let after_cr = match line.last() {
                Some(&before) => before == b'\r',
                // It follows another LF, or is the first byte of the chunk.
                None => lf == 0 && self.after_cr,
            };
            out.extend_from_slice(line);
            out.extend_from_slice(if after_cr { b"\n" } else { b"\r\n" });
            start = lf + 1;
        }
        out.extend_from_slice(chunk.get(start..).unwrap_or_default());
        self.after_cr = last == b'\r';
    }
}

/// A converter from the network to a file: each CRLF becomes LF. A single CR or LF stays.
///
/// A CR that is the last byte of a chunk is held back for an LF that may follow it. At the end of
/// the data, [`finish`](Self::finish) appends it. (pyftpdlib drops it.)
#[derive(Debug, Clone, Default)]
pub struct FromNetwork {
    /// Whether the last byte was a CR, which is not written yet.
    held_cr: bool,
}

impl FromNetwork {
    /// Converts the next chunk of the stream, and appends it to `out`.
    pub fn convert(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let Some(&first) = chunk.first() else {
            return;
        };
        out.reserve(chunk.len() + 1);
        if self.held_cr && first != b'\n' {
            out.push(b'\r');
        }
        self.held_cr = false;
        let mut start = 0;
        for cr in memchr_iter(b'\r', chunk) {
            match chunk.get(cr + 1) {
                Some(b'\n') => {}
                Some(_) => continue,
                None => self.held_cr = true,
            }
            out.extend_from_slice(chunk.get(start..cr).unwrap_or_default());
            start = cr + 1;
        }
        out.extend_from_slice(chunk.get(start..).unwrap_or_default());
    }

    /// Ends the stream, and appends the CR that was held back, if there is one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) {
            out.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to_network(chunks: &[&[u8]]) -> Vec<u8> {
        let (mut converter, mut out) = (ToNetwork::default(), Vec::new());
        for chunk in chunks {
            converter.convert(chunk, &mut out);
        }
        out
    }

    fn from_network(chunks: &[&[u8]]) -> Vec<u8> {
        let (mut converter, mut out) = (FromNetwork::default(), Vec::new());
        for chunk in chunks {
            converter.convert(chunk, &mut out);
        }
        converter.finish(&mut out);
        out
    }

    fn naive_to_network(bytes: &[u8]) -> Vec<u8> {
        let (mut out, mut before) = (Vec::new(), 0);
        for &byte in bytes {
            if byte == b'\n' && before != b'\r' {
                out.push(b'\r');
            }
            out.push(byte);
            before = byte;
        }
        out
    }

    fn naive_from_network(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, &byte) in bytes.iter().enumerate() {
            if byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
                out.push(byte);
            }
        }
        out
    }

    #[test]
    fn line_ends_for_the_network() {
        assert_eq!(to_network(&[b"a\nb\n\nc"]), b"a\r\nb\r\n\r\nc");
        assert_eq!(
            to_network(&[b"a\r\nb\r", b"\nc\r", b"", b"\n\n"]),
            b"a\r\nb\r\nc\r\n\r\n"
        );
        // pyftpdlib looks at the end of the chunk here, and leaves the first LF bare.
        assert_eq!(to_network(&[b"\na\r"]), b"\r\na\r");
    }

    #[test]
    fn line_ends_from_the_network() {
        assert_eq!(from_network(&[b"a\r\nb\nc\rd\r\r\n"]), b"a\nb\nc\rd\r\n");
        assert_eq!(
            from_network(&[b"a\r", b"", b"\nb\r", b"c\r", b"\r", b"\n"]),
            b"a\nb\rc\r\n"
        );
        assert_eq!(from_network(&[b"a\r"]), b"a\r");
        assert_eq!(from_network(&[b"a\r", b"\r"]), b"a\r\r");
        assert_eq!(from_network(&[b"\r"]), b"\r");
        assert_eq!(from_network(&[b"a\rb\r", b""]), b"a\rb\r");
    }

    fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let byte = prop::sample::select(&b"\r\r\n\nab"[..]);
        prop::collection::vec(prop::collection::vec(byte, 0..12), 0..12)
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(chunks in chunks()) {
            let parts: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let whole = chunks.concat();
            prop_assert_eq!(to_network(&parts), naive_to_network(&whole));
            prop_assert_eq!(from_network(&parts), naive_from_network(&whole));
        }

        #[test]
        fn a_text_comes_back(text in "[a-z\n]*") {
            prop_assert_eq!(from_network(&[&to_network(&[text.as_bytes()])]), text.into_bytes());
        }
    }
}
