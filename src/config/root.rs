//! Whether all files of the machine would be shared by accident.

use std::path::Path;

/// Whether a home is `/` although nobody has written `/`: by the current directory, a relative
/// path, or a link.
pub(super) fn shares_root_unasked(home: &Path, written: Option<&Path>) -> bool {
    let is_root = |path: &Path| {
        let bytes = path.as_os_str().as_encoded_bytes();
        !bytes.is_empty() && bytes.iter().all(|byte| *byte == b'/')
    };
    is_root(home) && !written.is_some_and(is_root)
}
