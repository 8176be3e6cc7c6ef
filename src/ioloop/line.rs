//! A splitter of byte streams: into lines, into blocks of a given length, or as bytes come.
//!
//! The splitter looks at bytes that the caller keeps. It neither reads nor stores any.

use std::borrow::Cow;

use memchr::memmem;

/// What ends a piece, as in `set_terminator` of Python's asynchat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terminator {
    /// These bytes, which are not part of the piece. An empty terminator means the same as
    /// [`None`](Self::None).
    Bytes(Cow<'static, [u8]>),
    /// LF, or CR and LF: what servers of FTP accept as the end of a line. Another CR belongs to
    /// the line.
    Line,
    /// A count: each piece has so many bytes. Zero means the same as [`None`](Self::None).
    Count(usize),
    /// Nothing: the bytes that have come are a piece.
    None,
}

impl Terminator {
    /// The end of a line of FTP (RFC 959 §5.3.1, after Telnet, RFC 854).
    pub const CRLF: Self = Self::Bytes(Cow::Borrowed(b"\r\n"));
}

/// What the splitter finds at the start of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// A piece, without its terminator.
    Piece {
        /// The bytes of the piece.
        piece: &'a [u8],
        /// How many bytes to drop from the input, with the terminator.
        consumed: usize,
    },
    /// A line that is longer than the limit. It is reported once for each such line.
    TooLong {
        /// How many bytes to drop from the input.
        consumed: usize,
    },
    /// The rest of a line that was too long, or a part of that rest.
    Skipped {
        /// How many bytes to drop from the input; at least one.
        consumed: usize,
    },
    /// Nothing yet: keep the input, and call again when there is more.
    More,
}

/// A splitter of a stream into pieces.
#[derive(Debug, Clone, Default)]
pub struct Splitter {
    /// Whether the rest of a line that was too long has still to come.
    skipping: bool,
}

impl Splitter {
    /// Finds the next piece. `input` holds all bytes of the stream that were not dropped yet.
    ///
    /// A line may have `limit` bytes, not counting its terminator. Nothing of a longer line is kept:
    /// it is [`Step::TooLong`] as soon as that is certain. Its rest, up to and including the
    /// terminator, is [`Step::Skipped`] however late it comes, so it never runs as a command. After
    /// [`Step::More`] the caller keeps fewer bytes than `limit` plus the length of the terminator. A
    /// [`Terminator::Count`] needs no limit.
    ///
    /// The lines, and the number of lines that are too long, do not depend on how the stream is
    /// divided into inputs.
    pub fn next<'a>(&mut self, terminator: &Terminator, limit: usize, input: &'a [u8]) -> Step<'a> {
        if input.is_empty() {
            return Step::More;
        }
        let end = match terminator {
            Terminator::Bytes(end) if !end.is_empty() => return self.line(end, limit, input),
            Terminator::Line => return self.lf_line(limit, input),
            Terminator::Count(count) if *count > 0 => *count,
            _ => input.len(),
        };
        // The caller has changed the terminator: the rest of a long line is input like any other.
        self.skipping = false;
        input.get(..end).map_or(Step::More, |piece| Step::Piece {
            piece,
            consumed: end,
        })
    }

    /// Takes back a [`Step::TooLong`], of which the caller has dropped nothing: the next call finds
    /// it again.
    pub fn take_back(&mut self) {
        self.skipping = false;
    }

    fn line<'a>(&mut self, end: &[u8], limit: usize, input: &'a [u8]) -> Step<'a> {
        match memmem::find(input, end) {
            Some(at) => self.found(input.get(..at), at + end.len(), limit),
            None => self.not_found(input.len() - half(end, input), limit),
        }
    }

    fn lf_line<'a>(&mut self, limit: usize, input: &'a [u8]) -> Step<'a> {
        match memchr::memchr(b'\n', input) {
            Some(at) => {
                let line = input.get(..at);
                let line = line.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
                self.found(line, at + 1, limit)
            }
            None => self.not_found(input.len() - half(b"\r\n", input), limit),
        }
    }

    /// The step for a line whose end was found.
    fn found<'a>(&mut self, line: Option<&'a [u8]>, consumed: usize, limit: usize) -> Step<'a> {
        let skipped = std::mem::take(&mut self.skipping);
        match line {
            _ if skipped => Step::Skipped { consumed },
            Some(piece) if piece.len() <= limit => Step::Piece { piece, consumed },
            _ => Step::TooLong { consumed },
        }
    }

    /// The step for a line whose end has not come. The bytes after `consumed`, if there are any,
    /// may be the first half of the terminator.
    fn not_found(&mut self, consumed: usize, limit: usize) -> Step<'static> {
        match (self.skipping, consumed) {
            (true, 0) => Step::More,
            (true, _) => Step::Skipped { consumed },
            (false, _) if consumed > limit => {
                self.skipping = true;
                Step::TooLong { consumed }
            }
            (false, _) => Step::More,
        }
    }
}

/// How many of the last bytes of `input` are a beginning of `end`, but not all of it.
fn half(end: &[u8], input: &[u8]) -> usize {
    let longest = end.len().saturating_sub(1).min(input.len());
    let starts = |len: &usize| end.get(..*len).is_some_and(|start| input.ends_with(start));
    (1..=longest).rev().find(starts).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The pieces of a stream (`None`: a line that was too long), and the most bytes that had to be
    /// kept.
    fn split(
        terminator: &Terminator,
        limit: usize,
        inputs: &[Vec<u8>],
    ) -> (Vec<Option<Vec<u8>>>, usize) {
        let (mut splitter, mut kept) = (Splitter::default(), Vec::new());
        let (mut pieces, mut most) = (Vec::new(), 0);
        for input in inputs {
            kept.extend_from_slice(input);
            loop {
                let consumed = match splitter.next(terminator, limit, &kept) {
                    Step::Piece { piece, consumed } => {
                        pieces.push(Some(piece.to_vec()));
                        consumed
                    }
                    Step::TooLong { consumed } => {
                        pieces.push(None);
                        consumed
                    }
                    Step::Skipped { consumed } => consumed,
                    Step::More => break,
                };
                assert!(consumed > 0);
                kept.drain(..consumed);
            }
            most = most.max(kept.len());
        }
        (pieces, most)
    }

    fn lines(limit: usize, inputs: &[&str]) -> Vec<Option<String>> {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|input| input.as_bytes().to_vec())
            .collect();
        let (pieces, _) = split(&Terminator::CRLF, limit, &inputs);
        let text = |piece: Vec<u8>| String::from_utf8(piece).unwrap();
        pieces.into_iter().map(|piece| piece.map(text)).collect()
    }

    #[test]
    fn lines_end_with_crlf() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            lines(9, &["a\r\n\r\nb c\r\nd"]),
            [some("a"), some(""), some("b c")]
        );
        assert_eq!(
            lines(9, &["a\r", "\nb\nc\rd\r\r", "\n"]),
            [some("a"), some("b\nc\rd\r")]
        );
        assert_eq!(lines(3, &["abc", "\r", "\n"]), [some("abc")]);
        assert_eq!(lines(3, &["abcd\r\nx\r\n"]), [None, some("x")]);
        assert_eq!(
            lines(3, &["abcd", "QUIT\r", "QUIT", "", "\r", "\nx\r\n"]),
            [None, some("x")]
        );
        assert_eq!(lines(3, &["abc\r", "d", "\r\n", "abcd\r\n"]), [None, None]);
    }

    #[test]
    fn lines_may_end_with_lf_alone() {
        let stream = b"a\nb\r\nc\rd\r\r\n\n\r\nabcde\r\nabcdef\nx\n".to_vec();
        let some = |text: &str| Some(text.as_bytes().to_vec());
        let expected = [
            some("a"),
            some("b"),
            some("c\rd\r"),
            some(""),
            some(""),
            some("abcde"),
            None,
            some("x"),
        ];
        for at in 0..stream.len() {
            let (before, after) = stream.split_at(at);
            let inputs = [before.to_vec(), after.to_vec()];
            let (pieces, most) = split(&Terminator::Line, 5, &inputs);
            assert_eq!(pieces, expected, "divided at {at}");
            assert!(most < 5 + 2);
        }
    }

    #[test]
    fn counts_and_streams() {
        let inputs = [b"abc".to_vec(), b"de".to_vec(), b"f".to_vec()];
        let some = |text: &[u8]| Some(text.to_vec());
        let (pieces, most) = split(&Terminator::Count(4), 1, &inputs);
        assert_eq!((pieces, most), (vec![some(b"abcd")], 3));
        for all in [
            Terminator::None,
            Terminator::Count(0),
            Terminator::Bytes(Cow::Borrowed(b"")),
        ] {
            let (pieces, most) = split(&all, 1, &inputs);
            assert_eq!(
                (pieces, most),
                (vec![some(b"abc"), some(b"de"), some(b"f")], 0)
            );
        }
    }

    #[test]
    fn a_new_terminator_ends_the_skipping() {
        let mut splitter = Splitter::default();
        let step = splitter.next(&Terminator::CRLF, 1, b"abc");
        assert_eq!(step, Step::TooLong { consumed: 3 });
        assert_eq!(splitter.next(&Terminator::Count(4), 1, b"de"), Step::More);
        let step = splitter.next(&Terminator::CRLF, 1, b"d\r\n");
        let expected = Step::Piece {
            piece: b"d",
            consumed: 3,
        };
        assert_eq!(step, expected);
    }

    /// The pieces that any division of the stream must give.
    fn naive(end: &[u8], limit: usize, mut stream: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut pieces = Vec::new();
        while let Some(at) = stream.windows(end.len()).position(|window| window == end) {
            pieces.push((at <= limit).then(|| stream[..at].to_vec()));
            stream = &stream[at + end.len()..];
        }
        let halves = (0..end.len()).filter(|&len| stream.ends_with(&end[..len]));
        if stream.len() - halves.max().unwrap() > limit {
            pieces.push(None);
        }
        pieces
    }

    proptest! {
        #[test]
        fn division_makes_no_difference_to_lf(
            inputs in prop::collection::vec(
                prop::collection::vec(prop::sample::select(&b"\r\r\n\na"[..]), 0..8), 0..12),
            limit in 0_usize..10,
        ) {
            let (pieces, most) = split(&Terminator::Line, limit, &inputs);
            let whole = [inputs.concat()];
            prop_assert_eq!(&pieces, &split(&Terminator::Line, limit, &whole).0);
            let text = inputs.concat();
            let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
            lines.pop();
            for (line, piece) in lines.iter().zip(&pieces) {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                prop_assert_eq!(piece.as_deref(), (line.len() <= limit).then_some(line));
            }
            prop_assert!(most < limit + 2);
        }

        #[test]
        fn division_makes_no_difference(
            inputs in prop::collection::vec(
                prop::collection::vec(prop::sample::select(&b"\r\r\n\na"[..]), 0..8), 0..12),
            end in prop::sample::select(vec!["\r\n", "\n", "\r\r", "\r\n\r\n", "\r\r\n"]),
            limit in 0_usize..10,
        ) {
            let terminator = Terminator::Bytes(Cow::Borrowed(end.as_bytes()));
            let (pieces, most) = split(&terminator, limit, &inputs);
            prop_assert_eq!(pieces, naive(end.as_bytes(), limit, &inputs.concat()));
            prop_assert!(most < limit + end.len());
        }
    }
}
