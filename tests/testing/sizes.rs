//! How large an upload may be, and how much space it leaves. Each test is the attack.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ftpdlib::FSError;
use ftpdlib::filesystems::{AbstractedFS, FSState, local};
use testkit::pattern;

use super::place::{place, reply};
use super::server::{Client, server};

// --- max_upload_size

const COMPLETE: &str = "226 Transfer complete.";
const TOO_LARGE: &str = "552 Requested file action aborted. Exceeded storage allocation.";

/// What the file has before, the position of REST, the command, the bytes, whether they are too many,
/// and what the file has then.
const UPLOADS: [(&str, u64, &str, &str, bool, &str); 10] = [
    ("", 0, "STOR a", "0123456789", false, "0123456789"),
    ("", 0, "STOR a", "0123456789x", true, "0123456789"),
    // What was there before does not count.
    ("0123456789", 0, "STOR a", "abc", false, "abc"),
    ("01234567", 0, "APPE a", "ab", false, "01234567ab"),
    ("01234567", 0, "APPE a", "abc", true, "01234567ab"),
    ("0123456789", 0, "APPE a", "", false, "0123456789"),
    ("0123456789", 0, "APPE a", "a", true, "0123456789"),
    ("01234567", 4, "STOR a", "abcdef", false, "0123abcdef"),
    ("01234567", 4, "STOR a", "abcdefg", true, "0123abcdef"),
    ("", 0, "STOU", "0123456789x", true, ""),
];

/// An upload of any kind ends at the limit, and the file keeps what fits.
#[test]
fn uploads_end_at_the_largest_size() {
    let mut place = place();
    place.config.max_upload_size = 10;
    for tp in ["TYPE I", "TYPE A"] {
        let mut session = place.login();
        session.command(tp);
        for (before, rest, command, bytes, is_refused, after) in UPLOADS {
            if rest > 0 && tp == "TYPE A" {
                continue;
            }
            place.write("a", before.as_bytes());
            let mut data = session.passive();
            if rest > 0 {
                session.command(&format!("REST {rest}"));
            }
            assert_eq!(session.command(command).code(), 125, "{command}");
            data.write(bytes.as_bytes());
            data.close();
            let expected = if is_refused { TOO_LARGE } else { COMPLETE };
            assert_eq!(reply(&mut session), expected, "{tp} {command} {bytes}");
            assert_eq!(place.read("a"), after.as_bytes(), "{command} {bytes}");
        }
    }
    for entry in std::fs::read_dir(place.home.path()).unwrap() {
        assert!(entry.unwrap().metadata().unwrap().len() <= 10);
    }
}

/// TYPE A holds a CR back until the end.
#[test]
fn the_last_cr_is_not_one_byte_too_many() {
    let mut place = place();
    place.config.max_upload_size = 3;
    let mut session = place.login();
    assert_eq!(session.stor("a", b"abc"), "226 Transfer complete.");
    session.command("TYPE A");
    let mut data = session.passive();
    session.command("STOR a");
    data.write(b"abc\r");
    data.close();
    assert_eq!(reply(&mut session), TOO_LARGE);
    assert_eq!(place.read("a"), b"abc");
}

#[test]
fn what_is_known_to_be_too_large_does_not_begin() {
    let mut place = place();
    place.config.max_upload_size = 10;
    place.write("large", b"0123456789ab");
    place.write("small", b"01234567");
    let mut session = place.login();
    session.command("TYPE I");
    for (announced, rest, command, code) in [
        ("11", 0, "STOR new", 552),
        ("11 R 5", 0, "STOR new", 552),
        ("11", 0, "STOU new", 552),
        ("3", 0, "APPE small", 552),
        ("7", 4, "STOR small", 552),
        ("0", 11, "STOR large", 552),
        ("0", 5, "STOR large", 552),
        ("0", 0, "APPE large", 552),
        ("99999999999999999999", 0, "STOR new", 552),
        ("2", 0, "APPE small", 150),
        ("10", 0, "STOR small", 150),
        // It counts for one upload.
        ("", 0, "STOR small", 150),
    ] {
        if !announced.is_empty() {
            assert_eq!(session.command(&format!("ALLO {announced}")).code(), 202);
        }
        if rest > 0 {
            session.command(&format!("REST {rest}"));
        }
        let reply = session.command(command);
        assert_eq!(reply.code(), code, "{announced} {rest} {command}: {reply}");
        if code == 150 {
            session.command("ABOR");
            session.reply();
        }
    }
    assert_eq!(place.read("large"), b"0123456789ab");
    assert_eq!(place.read("small"), b"01234567");
    let names = std::fs::read_dir(place.home.path()).unwrap().count();
    assert_eq!(names, 2, "nothing was made");
}

// --- min_free_space

/// The stock file system on a disk of this size, which the test changes.
struct Small(Arc<AtomicU64>);

impl AbstractedFS for Small {
    fn free_space(&self, fs: &FSState, path: &Path) -> Result<Option<u64>, FSError> {
        let all = local::free_space(fs, path)?;
        let home = std::fs::read_dir(fs.root()).unwrap();
        let used: u64 = home
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        Ok(Some(all.min(self.0.load(Relaxed).saturating_sub(used))))
    }
}

const NO_SPACE: &str = "452 Requested action not taken. Insufficient storage space in system.";

#[test]
fn uploads_leave_the_last_space_free() {
    for (size, keep) in [(100, 20), (9 << 20, 1 << 20)] {
        let mut place = place();
        let disk = Arc::new(AtomicU64::new(size));
        place.config.min_free_space = keep;
        place.config.set_abstracted_fs(Small(Arc::clone(&disk)));
        let most = usize::try_from(size - keep).unwrap();
        let bytes = pattern(most + 1);
        let mut session = place.login();
        session.command("TYPE I");
        assert_eq!(
            session.stor("fits", &bytes[..most]),
            "226 Transfer complete."
        );
        for command in ["STOR a", "APPE fits", "STOU"] {
            assert_eq!(session.command(command), NO_SPACE);
        }
        session.command("DELE fits");
        assert_eq!(session.stor("a", &bytes), NO_SPACE);
        assert!(place.read("a") == bytes[..most]);
        session.command("DELE a");
        session.command(&format!("ALLO {}", bytes.len()));
        assert_eq!(session.command("STOR a"), NO_SPACE);
        assert!(!place.home.path().join("a").exists());
    }
}

/// Each of several uploads knows what the others have taken.
#[test]
fn parallel_uploads_leave_the_last_space_free() {
    let mut place = place();
    place.config.min_free_space = 100_000;
    let disk = Arc::new(AtomicU64::new(6_100_000));
    place.config.set_abstracted_fs(Small(disk));
    let server = server(place.config.clone(), 1);
    let uploads: Vec<_> = (0..20)
        .map(|number| {
            let client = Client::login(&server, "10.0.0.2");
            let data = client.passive();
            let begun = client.command(&format!("STOR {number}"));
            assert!(begun.starts_with("125 "), "{begun}");
            (client, data)
        })
        .collect();
    let bytes = pattern(60_000);
    for _ in 0..10 {
        for (_, data) in &uploads {
            let _ = data.write(&bytes);
        }
        server.settle();
    }
    let home = std::fs::read_dir(place.home.path()).unwrap();
    let used: u64 = home
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!((4_700_000..=6_000_000).contains(&used), "{used}");
    let ended = uploads
        .iter()
        .filter(|(client, _)| client.receive().contains("452 "));
    assert!(ended.count() > 0);
}

/// Another program fills the disk during the upload.
#[test]
fn the_space_is_looked_at_during_an_upload() {
    let mut place = place();
    let disk = Arc::new(AtomicU64::new(1 << 30));
    place.config.min_free_space = 1000;
    place.config.set_abstracted_fs(Small(Arc::clone(&disk)));
    let mut session = place.login();
    let mut data = session.passive();
    session.command("STOR a");
    data.write(&pattern(3 << 20));
    assert_eq!(session.reply(), None);
    disk.store(1000, Relaxed);
    data.write(&pattern(3 << 20));
    assert_eq!(reply(&mut session), NO_SPACE);
    assert!(place.read("a").len() < 5 << 20);
}

/// A file system that does not know its space takes no upload.
#[test]
fn unknown_space_is_no_space() {
    struct Unknown;
    impl AbstractedFS for Unknown {
        fn free_space(&self, _: &FSState, _: &Path) -> Result<Option<u64>, FSError> {
            Err(FSError::from_errno(libc::ENOSYS))
        }
    }
    let mut place = place();
    place.config.min_free_space = 1;
    place.config.set_abstracted_fs(Unknown);
    let mut session = place.login();
    assert_eq!(session.stor("a", b"x"), "550 Function not implemented.");
    assert!(!place.home.path().join("a").exists());
}
