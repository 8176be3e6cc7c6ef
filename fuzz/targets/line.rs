//! The splitter of the control connection, against a model that sees the whole stream.
//!
//! Input: the terminator, the limit, how to cut the stream; then the stream.

#![no_main]

use ftpdlib::ioloop::Terminator;
use ftpdlib::ioloop::line::{Splitter, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [kind, limit, cut, stream @ ..] = input else {
        return;
    };
    let limit = usize::from(*limit);
    let terminator = match kind % 6 {
        0 => Terminator::CRLF,
        1 => Terminator::Bytes(b"\n".into()),
        2 => Terminator::Bytes(b"abcab".into()),
        3 => Terminator::Bytes(b"\r\r\n".into()),
        4 => Terminator::Count(limit),
        _ => Terminator::None,
    };
    let whole = split(&terminator, limit, stream, usize::MAX);
    if let Terminator::Bytes(end) = &terminator {
        assert_eq!(whole, lines(end, limit, stream));
        assert_eq!(whole, split(&terminator, limit, stream, usize::from(*cut)));
    } else {
        let pieces: Vec<u8> = whole.into_iter().flatten().flatten().collect();
        assert!(stream.starts_with(&pieces));
    }
});

/// The pieces of a stream, `None` for each line that is too long. It comes in inputs of
/// at most so many bytes, and one more.
fn split(
    terminator: &Terminator,
    limit: usize,
    stream: &[u8],
    most: usize,
) -> Vec<Option<Vec<u8>>> {
    let (mut splitter, mut kept, mut pieces) = (Splitter::default(), Vec::new(), Vec::new());
    let mut size = most;
    let mut rest = stream;
    while !rest.is_empty() {
        // Uneven, so that the cuts fall in all places.
        size = size.wrapping_mul(5).wrapping_add(3) % most.saturating_add(1).max(1);
        let (input, after) = rest.split_at(size.saturating_add(1).min(rest.len()));
        rest = after;
        kept.extend_from_slice(input);
        loop {
            let consumed = match splitter.next(terminator, limit, &kept) {
                Step::Piece { piece, consumed } => {
                    assert_eq!(piece, &kept[..piece.len()]);
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
            assert!((1..=kept.len()).contains(&consumed));
            kept.drain(..consumed);
        }
        if let Terminator::Bytes(end) = terminator {
            assert!(kept.len() < limit + end.len());
        }
    }
    pieces
}

/// The lines of the whole stream.
fn lines(end: &[u8], limit: usize, mut stream: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut lines = Vec::new();
    while let Some(at) = stream.windows(end.len()).position(|bytes| bytes == end) {
        lines.push((at <= limit).then(|| stream[..at].to_vec()));
        stream = &stream[at + end.len()..];
    }
    // The end of an unfinished line may be the start of a terminator.
    let half = (0..end.len().min(stream.len() + 1))
        .rev()
        .find(|len| stream.ends_with(&end[..*len]));
    if stream.len() - half.unwrap_or(0) > limit {
        lines.push(None);
    }
    lines
}
