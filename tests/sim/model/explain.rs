//! Whether uploads that came one after the other explain the bytes of a file.

use super::together::Written;
use super::transfer::Mode;

/// The most uploads whose order is tried.
const MOST: usize = 7;

/// Whether `found` is one of `bases`, changed by some of `uploads` one after the other. If
/// `strict`, each of them that is complete has changed it, and none came before one that was over
/// when it was asked for.
pub fn explains(found: &[u8], bases: &[&[u8]], uploads: &[&Written], strict: bool) -> bool {
    let strict = strict && uploads.len() <= MOST;
    Explanation { bases, strict }.holds(found, uploads)
}

struct Explanation<'a> {
    bases: &'a [&'a [u8]],
    strict: bool,
}

impl Explanation<'_> {
    fn holds(&self, found: &[u8], uploads: &[&Written]) -> bool {
        let owes = self.strict && uploads.iter().any(|upload| upload.complete);
        if !owes && self.bases.contains(&found) {
            return true;
        }
        (0..uploads.len()).any(|at| {
            let last = uploads[at];
            if self.strict && uploads.iter().any(|other| other.asked > last.ended) {
                return false;
            }
            let mut rest = uploads.to_vec();
            rest.remove(at);
            // One that never began leaves what was there.
            let unused = self.strict && !last.complete && self.holds(found, &rest);
            unused || self.is_last(found, last, &rest)
        })
    }

    /// Whether `last` is the upload that came last, after the others.
    fn is_last(&self, found: &[u8], last: &Written, rest: &[&Written]) -> bool {
        match last.mode {
            // What was there before is gone.
            Mode::Write => match last.complete {
                true => found == last.bytes,
                false => last.parts(found.len()).any(|part| part.is(found)),
            },
            Mode::Append => last.parts(found.len()).any(|part| {
                let base = found.len() - part.len();
                part.is(&found[base..]) && self.holds(&found[..base], rest)
            }),
            Mode::Update(offset) => {
                let Some(after) = found.get(offset..) else {
                    // Nothing was written, or the file was shorter.
                    return !last.complete && self.holds(found, rest);
                };
                last.parts(after.len()).any(|part| {
                    part.is(&after[..part.len()])
                        && (!rest.is_empty() || self.is_over_base(found, offset, part.len()))
                })
            }
        }
    }

    /// Whether one of the bases lies below bytes that were written at an offset.
    fn is_over_base(&self, found: &[u8], offset: usize, written: usize) -> bool {
        let end = offset + written;
        self.bases.iter().any(|base| {
            let size = base.len().max(end);
            base.len() >= offset
                && found.len() == size
                && base[..offset] == found[..offset]
                && base.get(end..).unwrap_or_default() == &found[end..]
        })
    }
}

/// A part of what an upload writes: its first bytes, and perhaps a CR that was held back.
struct Part<'a> {
    bytes: &'a [u8],
    with_cr: bool,
}

impl Part<'_> {
    fn len(&self) -> usize {
        self.bytes.len() + usize::from(self.with_cr)
    }

    fn is(&self, found: &[u8]) -> bool {
        let (Some(at), true) = (found.len().checked_sub(1), self.with_cr) else {
            return !self.with_cr && self.bytes == found;
        };
        found[at] == b'\r' && self.bytes == &found[..at]
    }
}

impl Written {
    /// The parts that it may have written, of at most so many bytes.
    fn parts(&self, most: usize) -> impl Iterator<Item = Part<'_>> {
        let all = self.bytes.len();
        let from = if self.complete { all } else { 0 };
        (from..=all)
            .rev()
            .flat_map(move |size| {
                let bytes = &self.bytes[..size];
                // A part that is cut between CR and LF may have the CR.
                let with_cr = self.ascii && !self.complete && self.bytes.get(size) == Some(&b'\n');
                let both = [Some(false), with_cr.then_some(true)];
                let part = move |with_cr| Part { bytes, with_cr };
                both.into_iter().flatten().map(part)
            })
            .filter(move |part| part.len() <= most)
    }
}
