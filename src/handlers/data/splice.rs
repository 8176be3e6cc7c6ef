//! Receiving into a file of the system inside the kernel, with a way back to memory for what
//! the kernel cannot do.

use std::io::{self, SeekFrom};

use super::channel::{DataChannel, Receiving, Transfer};
use super::payload::{Received, TransferError};
use super::room::Room;
use crate::ioloop::stream::is_disconnect;
use crate::proto::reply::Reply;
use crate::sys::Pipe;

/// Receives with `splice`. `None`: the system cannot do it for this transfer, which no longer
/// uses `splice`.
pub(super) fn splice(d: &mut DataChannel) -> Result<Option<Received>, TransferError> {
    let chunk = CHUNK.min(d.step());
    let Transfer::Receiving(receiving) = &mut d.transfer else {
        return Ok(None);
    };
    let Some(at) = receiving.splice_at else {
        return Ok(None);
    };
    if d.stream.is_urgent() {
        leave_splice(receiving, at)?;
        return Ok(None);
    }
    let (left, refusal) = room(receiving)?;
    let most = receiving.room.as_ref().map_or(CHUNK, Room::turn_most);
    let pipe = d.lent.pipe.take().map_or_else(Pipe::new, Ok);
    let (Ok(pipe), Some(file)) = (pipe, receiving.file.as_file()) else {
        receiving.splice_at = None;
        return Ok(None);
    };
    // One byte more than there is room for shows that there are too many.
    let most = chunk.min(most).min(left.saturating_add(1));
    let filled = match d.stream.splice(&pipe, most) {
        Ok(filled) => filled,
        Err(err) if is_disconnect(&err) || d.tot_bytes_received > 0 => {
            return Err(TransferError::Connection(err));
        }
        Err(_) => {
            receiving.splice_at = None;
            return Ok(None);
        }
    };
    let Some(filled) = filled else {
        d.lent.pipe = Some(pipe);
        return Ok(Some(Received::Nothing));
    };
    let fits = filled.min(left);
    let mut written = 0;
    let mut possible = true;
    while possible && written < fits {
        match pipe.drain_to(file, at + written as u64, fits - written) {
            Ok(0) => return Err(TransferError::File(io::ErrorKind::WriteZero.into())),
            Ok(drained) => written += drained,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if written == 0 && d.tot_bytes_received == 0 => possible = false,
            // The pipe still holds bytes, so it is dropped and not returned to the loop.
            Err(err) => return Err(TransferError::File(err)),
        }
    }
    receiving.splice_at = possible.then_some(at + fits as u64);
    if !possible {
        // The file does not take splices: the bytes in the pipe pass through memory.
        let drained = pipe.drain_into(&mut *receiving.file, fits);
        drained.map_err(TransferError::File)?;
    }
    if let Some(room) = &mut receiving.room {
        room.wrote(fits);
    }
    if fits < filled {
        // The pipe still holds bytes, so it is dropped and not returned to the loop.
        d.ending = refusal;
        d.progress(0, filled);
        return Ok(Some(Received::Bytes(filled)));
    }
    d.lent.pipe = Some(pipe);
    if filled == 0 {
        // This is the end, or urgent data whose event has not come yet. A read tells which.
        leave_splice(receiving, at)?;
        return Ok(None);
    }
    d.progress(0, filled);
    Ok(Some(Received::Bytes(filled)))
}

/// How many bytes may be written, and the reply to one more.
fn room(receiving: &mut Receiving) -> Result<(usize, Option<Reply>), TransferError> {
    let Some(room) = &receiving.room else {
        return Ok((usize::MAX, None));
    };
    let left = room.left(&mut *receiving.file);
    let (left, refusal) = left.map_err(TransferError::File)?;
    Ok((usize::try_from(left).unwrap_or(usize::MAX), Some(refusal)))
}

/// Continues through memory, from the position `at`.
fn leave_splice(receiving: &mut Receiving, at: u64) -> Result<(), TransferError> {
    receiving.splice_at = None;
    let moved = receiving.file.seek(SeekFrom::Start(at));
    moved.map(drop).map_err(TransferError::File)
}

/// The bytes spliced at once, which take a fifth of a millisecond. Half as many cost a third
/// more for each byte; twice as many save nothing.
const CHUNK: usize = 512 * 1024;
