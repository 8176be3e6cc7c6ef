//! Which names clients may not use, or do not see.

use std::sync::Arc;

use crate::error::FSError;
use crate::proto::pattern::Pattern;

/// The patterns of names that are denied, and of those that are hidden.
#[derive(Debug)]
pub(crate) struct NameRules {
    deny: Vec<Pattern>,
    hide: Vec<Pattern>,
}

impl NameRules {
    /// `None`: there are no patterns.
    pub(crate) fn new(deny: &[String], hide: &[String]) -> Option<Arc<Self>> {
        let parse = |texts: &[String]| {
            let texts = texts.iter().map(|text| text.to_ascii_lowercase());
            texts.map(|text| Pattern::new(text.as_bytes())).collect()
        };
        let is_empty = deny.is_empty() && hide.is_empty();
        (!is_empty).then(|| {
            Arc::new(Self {
                deny: parse(deny),
                hide: parse(hide),
            })
        })
    }

    /// Refuses a path, relative or not, with a name in it that is hidden or denied.
    ///
    /// # Errors
    /// For a hidden name the error of one that does not exist.
    pub(crate) fn check(&self, path: &[u8]) -> Result<(), FSError> {
        if self.hides_in(path) {
            return Err(FSError::from_errno(libc::ENOENT));
        }
        match any(&self.deny, path) {
            true => Err(FSError::from_errno(libc::EACCES)),
            false => Ok(()),
        }
    }

    /// Whether a path has a hidden name in it.
    pub(crate) fn hides_in(&self, path: &[u8]) -> bool {
        any(&self.hide, path)
    }
}

/// Whether a part of a path has one of the patterns. Upper case of ASCII counts as lower case: a
/// file system may do so, too.
fn any(patterns: &[Pattern], path: &[u8]) -> bool {
    let covers = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        patterns.iter().any(|pattern| pattern.covers(&name))
    };
    let mut names = path.split(|byte| *byte == b'/');
    !patterns.is_empty() && names.any(|name| !matches!(name, b"" | b"." | b"..") && covers(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_wherever_they_are() {
        let texts = |texts: &[&str]| texts.iter().map(|x| (*x).to_owned()).collect::<Vec<_>>();
        let rules = NameRules::new(&texts(&["*.PHP"]), &texts(&[".git", "s[0-9]"])).unwrap();
        let errno = |path: &str| rules.check(path.as_bytes()).err()?.raw_os_error();
        for path in ["a.php", "/x/.a.Php/y", ".php"] {
            assert_eq!(errno(path), Some(libc::EACCES), "{path}");
        }
        for path in [".git", "/a/.GIT/b", "s1", "x.php/S2"] {
            assert_eq!(errno(path), Some(libc::ENOENT), "{path}");
        }
        for path in ["", "/", "a.php5", ".gitignore", "../s", "git"] {
            assert_eq!(errno(path), None, "{path}");
        }
        assert!(NameRules::new(&[], &[]).is_none());
    }
}
