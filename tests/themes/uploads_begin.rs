//! When an upload begins: the old bytes stay until its data connection is established, and a
//! file that was made for an upload that never began is removed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use ftpdlib::FSError;
use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, OpenMode, UnixFilesystem, local};
use testkit::{
    Client, Server, WAYS, Way, begin, connect_data, next, parse_227, port_command, reset, store,
    wait_for,
};

use super::{CUT, skipped_over_tls};
use crate::MODE;

const OLD: &[u8] = b"precious bytes";

/// A server with the file `precious`, and a client.
fn precious() -> (Server, Client) {
    let server = Server::start(MODE);
    server.write("precious", OLD);
    let client = server.login();
    (server, client)
}

#[track_caller]
fn wait_until_gone(server: &Server, name: &str) {
    wait_for("the file to be removed", || !server.path(name).exists());
}

#[test]
fn stor_without_a_data_connection() {
    let (server, mut client) = precious();
    client.expect(150, "STOR precious");
    assert_eq!(server.read("precious"), OLD);
    client.abort();
    assert_eq!(server.read("precious"), OLD);
    // The client is gone.
    client.expect(150, "STOR precious");
    drop(client);
    let mut client = server.login();
    assert_eq!(server.read("precious"), OLD);
    // PORT was refused.
    client.expect(425, port_command(1025));
    client.expect(150, "STOR precious");
    assert_eq!(server.read("precious"), OLD);
    client.expect(221, "QUIT");
    assert_eq!(server.read("precious"), OLD);
}

#[test]
fn stor_whose_passive_connection_does_not_come() {
    let server = Server::with(MODE, |config| {
        config.passive_dtp.timeout = Some(Duration::from_millis(100));
    });
    server.write("precious", OLD);
    let mut client = server.login();
    for (command, name) in [("STOR", "precious"), ("STOR", "new"), ("APPE", "new")] {
        client.expect(227, "PASV");
        client.expect(150, format!("{command} {name}"));
        client.expect_reply(421);
        assert_eq!(server.read("precious"), OLD);
        wait_until_gone(&server, "new");
    }
}

/// The data connection was there, but is reset before the command.
#[test]
fn stor_after_its_connection_was_reset() {
    let (server, mut client) = precious();
    for name in ["precious", "new"] {
        let data = client.pasv();
        testkit::await_data(&mut client);
        reset(data);
        client.expect(125, format!("STOR {name}"));
        client.expect_reply(CUT);
        assert_eq!(server.read("precious"), OLD);
        wait_until_gone(&server, "new");
    }
}

/// What makes a pending upload end without a data connection.
#[test]
fn file_of_an_upload_that_never_begins_is_removed() {
    let (server, mut client) = precious();
    for command in ["STOR new", "APPE new"] {
        client.expect(150, command);
        assert_eq!(server.read("new"), b"");
        client.abort();
        wait_until_gone(&server, "new");
        // PASV after PASV ends the first promise.
        client.expect(227, "PASV");
        client.expect(150, command);
        client.send("PASV\r\n");
        client.expect_reply(426);
        client.expect_reply(227);
        wait_until_gone(&server, "new");
        let mut other = server.login();
        other.expect(150, command);
        drop(other);
        wait_until_gone(&server, "new");
    }
    let reply = client.expect(150, "STOU");
    let name = reply.strip_prefix("150 FILE: ").unwrap();
    assert!(server.path(name).exists());
    client.abort();
    wait_until_gone(&server, name);
    // A file that existed stays, also an empty one.
    server.write("empty", b"");
    client.expect(150, "STOR empty");
    client.abort();
    client.expect(150, "APPE precious");
    client.abort();
    assert!(server.path("empty").exists());
    assert_eq!(server.read("precious"), OLD);
}

/// The second STOR of a session replaces the first one, which has no data connection and gets 426.
#[test]
fn pending_upload_that_its_session_replaces() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    let mut client = server.login();
    for command in ["STOR new", "APPE new"] {
        client.expect(150, "STOR new");
        for _ in 0..3 {
            client.expect(426, command);
            client.expect_reply(150);
            assert_eq!(next(&events), "log new");
            assert_eq!(next(&events), "incomplete received new");
        }
        let passive = client.expect(227, "PASV");
        client.expect(426, command);
        client.expect_reply(150);
        let mut data = connect_data(parse_227(&passive));
        data.write_all(b"bytes").unwrap();
        data.shutdown(Shutdown::Write).unwrap();
        client.expect_reply(226);
        for event in [
            "log new",
            "incomplete received new",
            "log new",
            "received new",
        ] {
            assert_eq!(next(&events), event);
        }
        assert_eq!(server.read("new"), b"bytes");
        std::fs::remove_file(server.path("new")).unwrap();
    }
}

/// Somebody else uses the name meanwhile: that file stays.
#[test]
fn file_that_took_the_name_of_a_pending_upload_stays() {
    let (server, mut client) = precious();
    client.expect(150, "STOR new");
    std::fs::rename(server.path("precious"), server.path("new")).unwrap();
    client.abort();
    client.expect(250, "CWD /");
    assert_eq!(server.read("new"), OLD);
    // The same file, but with bytes of somebody else.
    client.expect(150, "STOR other");
    std::fs::write(server.path("other"), b"by hand").unwrap();
    client.abort();
    client.expect(250, "CWD /");
    assert_eq!(server.read("other"), b"by hand");
}

/// Connects for the upload of a command that was replied to, and sends bytes, which the server
/// refuses: they would be nowhere.
#[track_caller]
fn expect_refused(client: &mut Client, address: SocketAddr) {
    let mut data = connect_data(address);
    // The server may end the connection before the bytes are sent.
    let _ = data.write_all(b"bytes");
    let _ = data.shutdown(Shutdown::Write);
    assert_eq!(
        client.expect_reply(426),
        "426 The file was removed or replaced meanwhile; transfer aborted."
    );
}

/// The name leads to no file any more, or to another one, before the upload begins.
#[test]
fn file_that_a_pending_upload_has_lost() {
    let (server, mut client) = precious();
    let mut other = server.login();
    symlink("a", server.path("link")).unwrap();
    for (rest, command) in [
        (0, "STOR a"),
        (3, "STOR a"),
        (0, "APPE a"),
        (0, "STOR link"),
    ] {
        let promise = |client: &mut Client| {
            let address = parse_227(&client.expect(227, "PASV"));
            client.expect(350, format!("REST {rest}"));
            client.expect(150, command);
            address
        };
        server.write("a", OLD);
        let address = promise(&mut client);
        other.expect(250, "DELE a");
        expect_refused(&mut client, address);
        assert!(!server.path("a").exists());
        // It was made by the command.
        if rest == 0 {
            let address = promise(&mut client);
            other.expect(250, "DELE a");
            expect_refused(&mut client, address);
            assert!(!server.path("a").exists());
        }
        // It is renamed, and keeps what it has.
        server.write("a", OLD);
        let address = promise(&mut client);
        std::fs::rename(server.path("a"), server.path("b")).unwrap();
        expect_refused(&mut client, address);
        assert_eq!(server.read("b"), OLD);
        // It is replaced.
        server.write("a", b"replaced");
        let address = promise(&mut client);
        std::fs::rename(server.path("b"), server.path("a")).unwrap();
        expect_refused(&mut client, address);
        assert_eq!(server.read("a"), OLD);
        // The next one finds the new file.
        let address = promise(&mut client);
        connect_data(address).write_all(b"new").unwrap();
        client.expect_reply(226);
        assert_ne!(server.read("a"), OLD);
    }
    let address = parse_227(&client.expect(227, "PASV"));
    let reply = client.expect(150, "STOU");
    let name = reply.strip_prefix("150 FILE: ").unwrap();
    other.expect(250, format!("DELE {name}"));
    expect_refused(&mut client, address);
    assert!(!server.path(name).exists());
}

/// The command makes the file that a link leads to; without an upload, it is removed.
#[test]
fn link_that_leads_nowhere() {
    let (server, mut client) = precious();
    std::fs::create_dir(server.path("dir")).unwrap();
    let target = server.path("dir/target");
    symlink("../dir/target", server.path("dir/link")).unwrap();
    symlink("dir/link", server.path("link")).unwrap();
    symlink(&target, server.path("absolute")).unwrap();
    for link in ["dir/link", "link", "absolute"] {
        for command in ["STOR", "APPE"] {
            client.expect(150, format!("{command} {link}"));
            assert_eq!(std::fs::read(&target).unwrap(), b"");
            client.expect(426, "ABOR");
            client.expect_reply(226);
            wait_until_gone(&server, "dir/target");
            store(
                &mut client,
                Way::Late,
                &format!("{command} {link}"),
                b"bytes",
            );
            assert_eq!(std::fs::read(&target).unwrap(), b"bytes");
            client.expect(150, format!("{command} {link}"));
            client.expect(426, "ABOR");
            client.expect_reply(226);
            client.expect(250, "CWD /");
            assert_eq!(std::fs::read(&target).unwrap(), b"bytes");
            std::fs::remove_file(&target).unwrap();
            // Somebody else writes to it, or takes its name.
            client.expect(150, format!("{command} {link}"));
            std::fs::write(&target, b"by hand").unwrap();
            client.expect(426, "ABOR");
            client.expect_reply(226);
            client.expect(250, "CWD /");
            assert_eq!(std::fs::read(&target).unwrap(), b"by hand");
            std::fs::remove_file(&target).unwrap();
            client.expect(150, format!("{command} {link}"));
            std::fs::copy(server.path("precious"), server.path("other")).unwrap();
            std::fs::rename(server.path("other"), &target).unwrap();
            client.expect(426, "ABOR");
            client.expect_reply(226);
            client.expect(250, "CWD /");
            assert_eq!(std::fs::read(&target).unwrap(), OLD);
            std::fs::remove_file(&target).unwrap();
            assert!(server.path(link).is_symlink());
        }
    }
    // These lead to no file that can be made.
    for (link, target) in [
        ("slash", "new/"),
        ("lacking", "missing/new"),
        ("loop", "loop"),
        ("outside", "../new"),
    ] {
        symlink(target, server.path(link)).unwrap();
        client.expect(550, format!("STOR {link}"));
        client.expect(550, format!("APPE {link}"));
    }
    assert!(!server.path("new").exists());
    assert!(!server.path("../new").exists());
}

/// The data connection is established, but its handshake is not.
#[test]
fn old_bytes_stay_until_the_handshake() {
    let (server, mut client) = precious();
    if !MODE.is_secure() {
        // In clear, the connection is enough.
        let reply = client.expect(227, "PASV");
        client.expect(150, "STOR precious");
        let data = connect_data(parse_227(&reply));
        wait_for("the upload to begin", || server.read("precious").is_empty());
        drop(data);
        client.expect_reply(226);
        return;
    }
    for name in ["precious", "new"] {
        // Bytes that are no handshake.
        let reply = client.expect(227, "PASV");
        client.expect(150, format!("STOR {name}"));
        let mut data = std::net::TcpStream::connect(parse_227(&reply)).unwrap();
        data.write_all(&[b'x'; 2000]).unwrap();
        client.expect_reply(522);
        assert_eq!(server.read("precious"), OLD);
        wait_until_gone(&server, "new");
        // A connection that is closed, or reset, before the handshake.
        for by_reset in [false, true] {
            let reply = client.expect(227, "PASV");
            client.expect(150, format!("STOR {name}"));
            let data = std::net::TcpStream::connect(parse_227(&reply)).unwrap();
            match by_reset {
                true => reset(testkit::Socket::new(data)),
                false => drop(data),
            }
            client.expect_reply(522);
            assert_eq!(server.read("precious"), OLD);
            wait_until_gone(&server, "new");
        }
    }
}

#[test]
fn upload_that_begins_replaces_the_old_bytes() {
    let (server, mut client) = precious();
    for way in WAYS {
        store(&mut client, way, "STOR precious", b"short");
        assert_eq!(server.read("precious"), b"short");
        store(&mut client, way, "STOR precious", b"");
        assert_eq!(server.read("precious"), b"");
        store(&mut client, way, "STOR made", b"");
        assert_eq!(server.read("made"), b"");
        std::fs::remove_file(server.path("made")).unwrap();
        let reply = store(&mut client, way, "STOU", b"");
        let (_, name) = reply.split_once(" FILE: ").unwrap();
        assert_eq!(server.read(name), b"");
    }
}

/// Errors of the open come with the command, and not later.
#[test]
fn errors_come_before_the_data_connection() {
    let (server, mut client) = precious();
    std::fs::create_dir(server.path("d")).unwrap();
    for command in ["STOR", "APPE"] {
        client.expect(550, format!("{command} d"));
        client.expect(550, format!("{command} none/x"));
        client.expect(550, format!("{command} precious/x"));
    }
    // Through a link that leads nowhere, the file is made where it points to.
    symlink("target", server.path("dangling")).unwrap();
    store(&mut client, Way::Early, "STOR dangling", b"bytes");
    assert_eq!(server.read("target"), b"bytes");
    symlink("precious", server.path("link")).unwrap();
    client.expect(150, "STOR link");
    client.abort();
    assert_eq!(server.read("precious"), OLD);
    store(&mut client, Way::Early, "STOR link", b"new");
    assert_eq!(server.read("precious"), b"new");
}

/// A file that may be written, in a directory where nothing may be made.
#[test]
fn file_in_a_directory_that_is_read_only() {
    let (server, mut client) = precious();
    let dir = server.path("d");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("f"), OLD).unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o555)).unwrap();
    store(&mut client, Way::Early, "STOR d/f", b"new");
    assert_eq!(std::fs::read(dir.join("f")).unwrap(), b"new");
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn file_system_that_is_not_confined() {
    let server = Server::with(MODE, |config| {
        config.set_abstracted_fs(UnixFilesystem::new());
    });
    server.write("precious", OLD);
    let mut client = server.login();
    client.expect(250, format!("CWD {}", server.home.path().display()));
    for name in ["precious", "new"] {
        client.expect(150, format!("STOR {name}"));
        client.abort();
    }
    wait_until_gone(&server, "new");
    assert_eq!(server.read("precious"), OLD);
}

/// A file system that was written before uploads had a beginning: it wraps the files of `local`
/// and passes on the methods that have no default body.
struct Wrapping;

struct Wrapped {
    inner: Box<dyn FSFile>,
    exposed: bool,
}

impl AbstractedFS for Wrapping {
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        let exposed = path.ends_with("exposed");
        let inner = match mode {
            OpenMode::Read | OpenMode::Write | OpenMode::Append | OpenMode::Update => {
                local::open(fs, path, mode)?
            }
        };
        Ok(Box::new(Wrapped { inner, exposed }))
    }

    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        let inner = local::mkstemp(fs, dir, prefix)?;
        let exposed = false;
        Ok(Box::new(Wrapped { inner, exposed }))
    }
}

impl Read for Wrapped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl Write for Wrapped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Seek for Wrapped {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl FSFile for Wrapped {
    fn name(&self) -> &Path {
        self.inner.name()
    }

    fn as_file(&self) -> Option<&File> {
        self.inner.as_file().filter(|_| self.exposed)
    }

    fn size(&mut self) -> io::Result<u64> {
        self.inner.size()
    }
}

#[test]
fn older_file_systems_lose_nothing() {
    let server = Server::with(MODE, |config| config.set_abstracted_fs(Wrapping));
    let mut client = server.login();
    for name in ["plain", "exposed"] {
        server.write(name, OLD);
        client.expect(150, format!("STOR {name}"));
        client.abort();
        assert_eq!(server.read(name), OLD);
        client.expect(150, "STOR new");
        client.abort();
        wait_until_gone(&server, "new");
        for bytes in [&b"short"[..], b""] {
            store(&mut client, Way::Early, &format!("STOR {name}"), bytes);
            assert_eq!(server.read(name), bytes);
        }
        std::fs::remove_file(server.path(name)).unwrap();
        for command in ["STOR", "APPE"] {
            store(&mut client, Way::Late, &format!("{command} {name}"), b"");
            assert_eq!(server.read(name), b"");
        }
        store(&mut client, Way::Late, &format!("APPE {name}"), b"more");
        client.expect(350, "REST 2");
        store(&mut client, Way::Late, &format!("STOR {name}"), b"st");
        assert_eq!(server.read(name), b"most");
        let reply = store(&mut client, Way::Early, "STOU", b"");
        let (_, unique) = reply.split_once(" FILE: ").unwrap();
        assert_eq!(server.read(unique), b"");
    }
}

/// A file that cannot be begun fails its upload.
#[test]
fn failing_begin() {
    if skipped_over_tls("the step is the same there") {
        return;
    }
    let (server, events) = Server::with_hooks(MODE, |config| config.set_abstracted_fs(Refusing));
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
    let _ = data.write_all(b"abc");
    let _ = data.shutdown(Shutdown::Write);
    let reply = client.expect_reply(426);
    assert_eq!(reply, "426 Input/output error; transfer aborted.");
    assert_eq!(next(&events), "log a");
    assert_eq!(next(&events), "incomplete received a");
    assert_eq!(server.read("a"), b"");
}

struct Refusing;

impl AbstractedFS for Refusing {
    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        assert!(fs.is_upload());
        assert_eq!(mode, OpenMode::Store);
        Ok(Box::new(Refused(local::open(fs, path, mode)?)))
    }
}

struct Refused(Box<dyn FSFile>);

impl Read for Refused {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Refused {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Refused {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl FSFile for Refused {
    fn name(&self) -> &Path {
        self.0.name()
    }

    fn size(&mut self) -> io::Result<u64> {
        self.0.size()
    }

    fn begin(&mut self) -> io::Result<()> {
        self.0.begin()?;
        Err(io::Error::from_raw_os_error(libc::EIO))
    }
}
