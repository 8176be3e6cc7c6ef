//! The tree that all servers serve.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::{self, file};
use crate::options::Scale;

pub struct Tree {
    home: TempDir,
}

impl Tree {
    pub fn new(scale: &Scale) -> io::Result<Self> {
        let home = common::home();
        let path = home.path();
        // Some servers run as another user, and some refuse a directory that anybody may write
        // to.
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
        fs::create_dir(path.join(INCOMING))?;
        fs::set_permissions(path.join(INCOMING), Permissions::from_mode(0o777))?;
        fs::write(path.join("small"), [b'x'; 1024])?;
        file(&path.join(LARGE), scale.mib)?;
        file(&path.join(WARM), scale.warm_mib())?;
        file(&path.join(SHARE), scale.share_mib)?;
        fs::create_dir(path.join("many"))?;
        for number in 0..scale.entries {
            File::create(path.join(format!("many/file-{number:06}.dat")))?;
        }
        Ok(Self { home })
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns the file of this size to download.
    pub fn file_of(&self, mib: usize) -> &'static str {
        let large = fs::metadata(self.home().join(LARGE)).expect("a file");
        match large.len() == (mib * MIB) as u64 {
            true => LARGE,
            false => WARM,
        }
    }

    /// Removes an uploaded file after a check of its size.
    pub fn remove(&self, name: &str, mib: usize) {
        let path: PathBuf = self.home().join(name);
        let stored = fs::metadata(&path).expect("the file that was stored");
        assert_eq!(stored.len(), (mib * MIB) as u64, "{name} is short");
        fs::remove_file(&path).unwrap();
    }
}

/// The directory for uploads.
pub const INCOMING: &str = "in";

/// The files to download: for one client, to warm up, and for each of many clients.
pub const LARGE: &str = "large";
pub const WARM: &str = "warm";
pub const SHARE: &str = "share";

pub use crate::common::MIB;
