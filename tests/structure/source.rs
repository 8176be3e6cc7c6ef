//! The text of the sources: of a checkout, or made up for a test.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Rust files by their path from the root of the package, such as `src/lib.rs`.
pub(crate) struct Sources(BTreeMap<String, String>);

impl Sources {
    /// All Rust files below `src/` of this package.
    ///
    /// # Errors
    /// Where `src/` or a file in it cannot be read.
    pub(crate) fn read(package: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec!["src".to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(package.join(&folder))? {
                let entry = entry?;
                let path = format!("{folder}/{}", entry.file_name().display());
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else if path.ends_with(".rs") {
                    files.insert(path, fs::read_to_string(entry.path())?);
                }
            }
        }
        Ok(Self(files))
    }

    /// These files, as paths and texts.
    pub(crate) fn made_up(files: &[(&str, &str)]) -> Self {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self(files.iter().map(own).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// # Panics
    /// Where there is no such file.
    pub(crate) fn text(&self, path: &str) -> &str {
        let text = self.0.get(path);
        text.unwrap_or_else(|| panic!("there is no {path}"))
    }

    /// The file of module `name`, declared in a file whose children stand in `folder`.
    ///
    /// # Panics
    /// Where there is neither `name.rs` nor `name/mod.rs`.
    pub(crate) fn module_file(&self, folder: &str, name: &str) -> String {
        let candidates = [
            format!("{folder}/{name}.rs"),
            format!("{folder}/{name}/mod.rs"),
        ];
        let found = candidates.iter().find(|path| self.has(path));
        found
            .unwrap_or_else(|| panic!("mod {name}: no {} and no {}", candidates[0], candidates[1]))
            .clone()
    }
}

/// The folder in which the children of the module in this file stand.
pub(crate) fn folder_of_children(file: &str) -> String {
    for root in ["/mod.rs", "/lib.rs", "/main.rs"] {
        if let Some(folder) = file.strip_suffix(root) {
            return folder.to_owned();
        }
    }
    file.trim_end_matches(".rs").to_owned()
}
