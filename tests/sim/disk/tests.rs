//! Tests of the disk: it behaves as a local file system does, and does what it is told to.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ftpdlib::FSError;
use ftpdlib::filesystems::{AbstractedFS, FSState, OpenMode};

use super::{Disk, Harm, Note, State};
use crate::model::Damage;
use crate::plan::scene::{Home, Kind, Node, Tree};
use crate::trace::Trace;

pub fn checks() -> Vec<(&'static str, fn())> {
    vec![
        ("disk: operations", operations),
        ("disk: links stay inside", links),
        ("disk: files", files),
        ("disk: listings", listings),
        ("disk: faults", faults),
        ("disk: full", full),
    ]
}

fn disk(harms: &[(usize, Harm)]) -> (Disk, FSState) {
    let node = |kind| Node {
        kind,
        mode: 0o644,
        mtime: 7,
    };
    let link = |target: &str| node(Kind::Link(target.as_bytes().to_vec()));
    let tree = Tree::from([
        (b"/dir".to_vec(), node(Kind::Dir)),
        (b"/dir/file".to_vec(), node(Kind::File(b"hello".to_vec()))),
        (b"/in".to_vec(), link("dir/file")),
        (b"/back".to_vec(), link("/home/1/../0/dir")),
        (b"/out".to_vec(), link("../1/secret")),
        (b"/loop".to_vec(), link("loop")),
    ]);
    let home = |root: &str, tree| Home {
        root: root.to_owned(),
        tree,
        private: true,
        marker: String::new(),
    };
    let secret = Tree::from([(b"/secret".to_vec(), node(Kind::File(Vec::new())))]);
    let homes = [home("/home/0", tree), home("/home/1", secret)];
    let harms: BTreeMap<_, _> = harms
        .iter()
        .map(|(number, harm)| ((0, *number), harm.clone()))
        .collect();
    let disk = Disk::new(State::new(&homes, harms, Trace::new(false)));
    disk.lock().identities = 1;
    (disk, FSState::new(Path::new("/home/0"), "/".into()))
}

fn real(path: &str) -> PathBuf {
    PathBuf::from(format!("/home/0{path}"))
}

fn number<T>(result: Result<T, FSError>) -> Option<i32> {
    result.err().and_then(|err| err.raw_os_error())
}

fn operations() {
    let (disk, fs) = disk(&[]);
    let rename = |from: &str, to: &str| number(disk.rename(&fs, &real(from), &real(to)));
    assert_eq!(number(disk.mkdir(&fs, &real("/dir"))), Some(libc::EEXIST));
    assert_eq!(number(disk.mkdir(&fs, &real("/no/a"))), Some(libc::ENOENT));
    assert_eq!(
        number(disk.mkdir(&fs, &real("/dir/file/a"))),
        Some(libc::ENOTDIR)
    );
    assert_eq!(
        number(disk.rmdir(&fs, &real("/dir"))),
        Some(libc::ENOTEMPTY)
    );
    assert_eq!(
        number(disk.rmdir(&fs, &real("/dir/file"))),
        Some(libc::ENOTDIR)
    );
    assert_eq!(number(disk.rmdir(&fs, &real(""))), Some(libc::EBUSY));
    assert_eq!(number(disk.remove(&fs, &real("/dir"))), Some(libc::EISDIR));
    assert_eq!(rename("/dir", "/dir/below"), Some(libc::EINVAL));
    assert_eq!(rename("/dir/file", "/dir"), Some(libc::ENOTEMPTY));
    assert_eq!(rename("/nothing", "/dir"), Some(libc::ENOENT));
    disk.mkdir(&fs, &real("/new")).unwrap();
    assert_eq!(rename("/in", "/new"), Some(libc::EISDIR));
    assert_eq!(rename("/dir", "/in"), Some(libc::ENOTDIR));
    assert_eq!(
        number(disk.rename_new(&fs, &real("/dir"), &real("/new"))),
        Some(libc::EEXIST)
    );
    assert_eq!(rename("/dir", "/new"), None);
    assert!(disk.isfile(&fs, &real("/new/file")));
    assert!(!disk.lexists(&fs, &real("/dir")));
    disk.utime(&fs, &real("/new"), 99).unwrap();
    disk.chmod(&fs, &real("/new"), 0o700).unwrap();
    let tree = disk.lock().tree(0);
    let new = &tree[b"/new".as_slice()];
    assert_eq!((new.mode, new.mtime), (0o700, 99));
}

fn links() {
    let (disk, mut fs) = disk(&[]);
    assert_eq!(disk.getsize(&fs, &real("/in")).unwrap(), 5);
    assert!(disk.islink(&fs, &real("/in")));
    assert_eq!(
        disk.readlink(&fs, &real("/in")).unwrap(),
        Path::new("dir/file")
    );
    assert!(disk.validpath(&fs, &real("/back/file")));
    assert!(disk.isfile(&fs, &real("/back/file")));
    assert!(!disk.validpath(&fs, &real("/out")));
    assert!(disk.validpath(&fs, &real("/nothing/at/all")));
    assert!(matches!(
        disk.stat(&fs, &real("/out")),
        Err(FSError::Outside)
    ));
    for mode in [OpenMode::Read, OpenMode::Write] {
        let opened = disk.open(&fs, &real("/out"), mode);
        assert!(matches!(opened, Err(FSError::Outside)));
    }
    assert_eq!(number(disk.stat(&fs, &real("/loop"))), Some(libc::ELOOP));
    disk.chdir(&mut fs, &real("/back")).unwrap();
    assert_eq!(fs.cwd(), "/back");
    // An operation on a name does not follow it.
    disk.remove(&fs, &real("/in")).unwrap();
    assert!(disk.isfile(&fs, &real("/dir/file")));
}

fn files() {
    let (disk, fs) = disk(&[]);
    let mut file = disk
        .open(&fs, &real("/dir/file"), OpenMode::Update)
        .unwrap();
    file.seek(SeekFrom::Start(1)).unwrap();
    file.write_all(b"a").unwrap();
    let mut rest = String::new();
    file.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), file.size().unwrap()), ("llo", 5));
    disk.remove(&fs, &real("/dir/file")).unwrap();
    // A file that was removed lives on.
    file.write_all(b"!").unwrap();
    assert_eq!(file.size().unwrap(), 6);
    drop(file);
    let mut file = disk.open(&fs, &real("/log"), OpenMode::Append).unwrap();
    let mut other = disk.open(&fs, &real("/log"), OpenMode::Append).unwrap();
    file.write_all(b"one").unwrap();
    other.write_all(b"two").unwrap();
    assert_eq!(disk.lock().open, 2);
    drop((file, other));
    let stou = disk
        .mkstemp(&fs, &real(""), OsStr::new("ftpd."))
        .unwrap()
        .name()
        .to_owned();
    let tree = disk.lock().tree(0);
    assert_eq!(
        tree[b"/log".as_slice()].kind,
        Kind::File(b"onetwo".to_vec())
    );
    assert!(disk.isfile(&fs, &stou));
    assert_eq!(disk.lock().open, 0);
}

fn listings() {
    let (disk, fs) = disk(&[]);
    let mut dir = disk.listdir(&fs, &real("")).unwrap();
    // What changes meanwhile may be missed, and nothing comes twice.
    disk.remove(&fs, &real("/back")).unwrap();
    disk.remove(&fs, &real("/loop")).unwrap();
    let mut names = Vec::new();
    while let Some(name) = dir.next_name() {
        names.push(name.unwrap());
    }
    names.sort();
    assert_eq!(names, ["dir", "in", "out"]);
    assert!(dir.next_name().is_none());
    assert_eq!(dir.stat(OsStr::new("in")).unwrap().size, 5);
    assert!(dir.lstat(OsStr::new("in")).unwrap().is_symlink());
    assert!(matches!(dir.stat(OsStr::new("out")), Err(FSError::Outside)));
    assert!(matches!(dir.lstat(OsStr::new("..")), Err(FSError::Outside)));
    assert_eq!(number(dir.lstat(OsStr::new("back"))), Some(libc::ENOENT));
}

fn faults() {
    let harms = [
        (0, Harm::Fail(libc::EIO)),
        (2, Harm::Short),
        (3, Harm::Grow(b"!!".to_vec())),
        (4, Harm::Replace(b"new".to_vec())),
        (5, Harm::Vanish),
    ];
    let (disk, fs) = disk(&harms);
    let path = real("/dir/file");
    assert_eq!(number(disk.stat(&fs, &path)), Some(libc::EIO));
    let mut file = disk.open(&fs, &path, OpenMode::Read).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(file.read(&mut buffer).unwrap(), 2);
    assert_eq!(file.read(&mut buffer).unwrap(), 5, "it has grown");
    assert_eq!(disk.getsize(&fs, &path).unwrap(), 3, "it was replaced");
    assert_eq!(number(disk.stat(&fs, &path)), Some(libc::ENOENT));
    let notes = std::mem::take(&mut disk.lock().notes);
    let damages: Vec<_> = notes
        .iter()
        .map(|note| match note {
            Note::Damage { home, path, damage } => (*home, path.as_slice(), damage.clone()),
            Note::Callback { .. } | Note::Panic { .. } => panic!("{note:?}"),
        })
        .collect();
    let failed = Damage::Failed {
        operation: "stat",
        errno: libc::EIO,
    };
    let expected = [failed, Damage::Short]
        .into_iter()
        .chain([const { Damage::Changed }; 3])
        .map(|damage| (0, b"/dir/file".as_slice(), damage));
    assert_eq!(damages, expected.collect::<Vec<_>>());
}

fn full() {
    let (disk, fs) = disk(&[]);
    let used = disk.lock().used;
    disk.lock().capacity = used + 3;
    let mut file = disk.open(&fs, &real("/a"), OpenMode::Write).unwrap();
    assert_eq!(file.write(b"12345").unwrap(), 3);
    let err = file.write(b"45").unwrap_err();
    assert_eq!(err.raw_os_error(), Some(libc::ENOSPC));
    // To overwrite takes no room.
    file.seek(SeekFrom::Start(0)).unwrap();
    assert_eq!(file.write(b"abc").unwrap(), 3);
    drop(file);
    disk.remove(&fs, &real("/a")).unwrap();
    assert_eq!(disk.lock().used, used);
}
