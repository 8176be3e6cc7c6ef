//! Whether a file system has space for an upload.

use std::path::Path;

use super::data::Bounds;
use super::files;
use super::session::{DataState, FTPSession};
use crate::error::FSError;
use crate::filesystems::{AbstractedFS, FSState};
use crate::proto::reply::Reply;

/// Refuses an upload to `path` for which there is too little space. A step of an operation.
///
/// # Errors
/// The reply.
pub(super) fn check(
    fs: &dyn AbstractedFS,
    state: &FSState,
    path: &Path,
    bounds: Bounds,
) -> Result<(), Reply> {
    if bounds.min_free_space == 0 {
        return Ok(());
    }
    let free = fs.free_space(state, path).map_err(|err| match err {
        FSError::Outside => files::outside(fs, state, path),
        err => err,
    })?;
    bounds.check_space(free)
}

/// Asks for the space of the file system of an upload in progress, if that is due. An upload whose
/// space is not known ends.
pub(super) fn look(s: &mut FTPSession) {
    let DataState::Open(open) = &s.data else {
        return;
    };
    let Some(path) = open.channel.wants_space().map(Path::to_owned) else {
        return;
    };
    let min = s.upload_bounds().min_free_space;
    s.as_transfer_user(|s| {
        files::run(
            s,
            move |fs, state| fs.free_space(state, &path),
            move |s, free| {
                let DataState::Open(open) = &mut s.data else {
                    return;
                };
                match free {
                    Ok(free) => {
                        let left = free.map(|free| free.saturating_sub(min));
                        let others = s.server.uploads.count().saturating_sub(1);
                        open.channel.set_space(left, others);
                    }
                    Err(err) => open.channel.end(Reply::with(452, format!("{err}."))),
                }
            },
        );
    });
}
