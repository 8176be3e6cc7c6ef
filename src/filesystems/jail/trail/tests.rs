//! How many calls a walk makes, and how many handles it keeps.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// Directories in each other, more than a process may have open, or a path may have letters for.
struct Deep(TempDir);

impl Deep {
    fn new(depth: usize) -> Self {
        let top = tempfile::tempdir().unwrap();
        let mut here: OwnedFd = fs::File::open(top.path()).unwrap().into();
        for _ in 0..depth {
            sys::mkdirat(here.as_fd(), b"d", 0o755).unwrap();
            here = sys::openat(here.as_fd(), b"d", DIRECTORY, 0).unwrap();
        }
        Self(top)
    }

    fn root(&self) -> fs::File {
        fs::File::open(self.0.path()).unwrap()
    }
}

impl Drop for Deep {
    /// Takes the directories out of each other, which a removal of all cannot do.
    fn drop(&mut self) {
        let (d, e) = (self.0.path().join("d"), self.0.path().join("e"));
        while d.exists() {
            let _ = fs::rename(d.join("d"), &e);
            if fs::remove_dir_all(&d).is_err() {
                break;
            }
            let _ = fs::rename(&e, &d);
        }
    }
}

/// `d/d/d` with as many names.
fn names(depth: usize) -> Vec<u8> {
    vec!["d"; depth].join("/").into_bytes()
}

fn trail<'a>(root: &'a fs::File, rel: &[u8], jumps: bool) -> Trail<'a> {
    Trail::new(root.as_fd(), rel, Above::Fails, Links::Follow).with_jumps(jumps)
}

fn has_openat2(root: &fs::File) -> bool {
    sys::openat_beneath(root.as_fd(), b".", DIRECTORY, 0, false).is_ok()
}

/// The calls of a walk down, and whether it has reached the last name.
fn calls(root: &fs::File, rel: &[u8], jumps: bool) -> (usize, bool) {
    let mut trail = trail(root, rel, jumps);
    let entered = trail.enter();
    assert!(trail.handles.len() <= HANDLES);
    (trail.calls(), matches!(entered, Ok(Some(_))))
}

#[test]
fn one_call_for_each_name_at_most() {
    let deep = Deep::new(2100);
    let root = deep.root();
    for depth in [500, 1000, 2000] {
        let (missing, longer) = ([&names(depth)[..], b"/none"].concat(), names(depth + 1));
        for rel in [&missing, &longer] {
            assert_eq!(calls(&root, rel, false), (depth, true));
            if has_openat2(&root) {
                // A path of 2,000 names has 4,000 letters: nearly as many as one call takes.
                let (calls, reached) = calls(&root, rel, true);
                assert!(reached && calls <= 2, "{calls} calls at depth {depth}");
            }
        }
        // A directory is missing at the end, or in the middle.
        for at in [depth, depth / 2] {
            let rel = [&names(at)[..], b"/none/", &names(depth - at + 1)].concat();
            assert_eq!(calls(&root, &rel, false), (at + 1, false));
            if has_openat2(&root) {
                let (calls, reached) = calls(&root, &rel, true);
                assert!(!reached && calls <= 40, "{calls} calls at depth {depth}");
            }
        }
    }
}

#[test]
fn links_upwards_reach_the_directories_again() {
    let deep = Deep::new(200);
    let root = deep.root();
    let below = String::from_utf8(names(100)).unwrap();
    let up = deep.0.path().join(&below).join("up");
    symlink(vec![".."; 60].join("/"), &up).unwrap();
    fs::create_dir(
        deep.0
            .path()
            .join(String::from_utf8(names(40)).unwrap())
            .join("x"),
    )
    .unwrap();
    for jumps in [false, true] {
        let mut trail = trail(&root, format!("{below}/up/x/y").as_bytes(), jumps);
        assert_eq!(trail.enter().unwrap().unwrap(), b"y");
        let expected = [b"/".as_slice(), &names(40), b"/x"].concat();
        assert_eq!(trail.path(), expected);
        let stat = sys::fstat(trail.here().unwrap()).unwrap();
        let path = Path::new(std::str::from_utf8(&expected[1..]).unwrap());
        let real = fs::metadata(deep.0.path().join(path)).unwrap();
        assert_eq!(stat.st_ino, std::os::unix::fs::MetadataExt::ino(&real));
        let (_, path) = trail.end().unwrap();
        assert_eq!(path, expected);
    }
}

/// A user who can make links must not make one look-up take thousands of calls.
#[test]
fn links_add_a_bounded_number_of_names() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("a")).unwrap();
    for number in 0..38 {
        let target = format!("{}l{}", "a/../".repeat(800), number + 1);
        symlink(target, home.path().join(format!("l{number}"))).unwrap();
    }
    fs::create_dir(home.path().join("l38")).unwrap();
    let root = fs::File::open(home.path()).unwrap();
    for jumps in [false, true] {
        let mut long = trail(&root, b"l0/x", jumps);
        let err = long.enter().unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::ELOOP));
        assert!(long.calls() <= MAX_ADDED, "{}", long.calls());
        let real = trail(&root, b"l0/x", jumps).resolve().unwrap();
        assert!(real.looped);
        // Some of them are fine.
        assert_eq!(
            trail(&root, b"l36/x", jumps).enter().unwrap().unwrap(),
            b"x"
        );
    }
}

#[test]
fn a_confined_walk_does_not_leave_its_root() {
    let deep = Deep::new(3);
    symlink("../..", deep.0.path().join("d/above")).unwrap();
    symlink("/", deep.0.path().join("d/top")).unwrap();
    let root = deep.root();
    for rel in ["d/above/x", "d/top/x", "..", "d/../.."] {
        for jumps in [false, true] {
            let err = trail(&root, rel.as_bytes(), jumps).enter().unwrap_err();
            assert_eq!(err.raw_os_error(), Some(libc::EXDEV), "{rel}");
        }
    }
    assert_eq!(trail(&root, b"d/..//d/./d/", true).enter().unwrap(), None);
}
