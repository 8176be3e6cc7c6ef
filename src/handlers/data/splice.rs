//! Receiving into a file of the system by the kernel alone, with the ways back
//! where it cannot.

use std::io::{self, SeekFrom};

use super::{DataChannel, Received, Receiving, Transfer, TransferError};
use crate::ioloop::stream::is_disconnect;
use crate::sys::Pipe;

/// Receives by `splice`. `None`: the system cannot, from now on we do not.
pub(super) fn splice(d: &mut DataChannel) -> Result<Option<Received>, TransferError> {
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
    let pipe = d.lent.pipe.take().map_or_else(Pipe::new, Ok);
    let (Ok(pipe), Some(file)) = (pipe, receiving.file.as_file()) else {
        receiving.splice_at = None;
        return Ok(None);
    };
    let filled = match d.stream.splice(&pipe, CHUNK) {
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
    let mut written = 0;
    let mut possible = true;
    while possible && written < filled {
        match pipe.drain_to(file, at + written as u64, filled - written) {
            Ok(0) => return Err(TransferError::File(io::ErrorKind::WriteZero.into())),
            Ok(drained) => written += drained,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if written == 0 && d.tot_bytes_received == 0 => possible = false,
            // The pipe still holds bytes: it is dropped, not handed back.
            Err(err) => return Err(TransferError::File(err)),
        }
    }
    receiving.splice_at = possible.then_some(at + filled as u64);
    if !possible {
        // Not for this file: what the pipe holds goes through our memory.
        let drained = pipe.drain_into(&mut *receiving.file, filled);
        drained.map_err(TransferError::File)?;
    }
    d.lent.pipe = Some(pipe);
    if filled == 0 {
        // The end, or urgent data whose event has not come: a read tells.
        leave_splice(receiving, at)?;
        return Ok(None);
    }
    d.progress(0, filled);
    Ok(Some(Received::Bytes(filled)))
}

/// Goes on through our memory, where the file stands.
fn leave_splice(receiving: &mut Receiving, at: u64) -> Result<(), TransferError> {
    receiving.splice_at = None;
    let moved = receiving.file.seek(SeekFrom::Start(at));
    moved.map(drop).map_err(TransferError::File)
}

/// Bytes spliced at once, a fifth of a millisecond. Half of it costs a third more
/// for each byte, twice as much saves nothing.
const CHUNK: usize = 512 * 1024;
