//! RETR, and REST before it: as pyftpdlib's `TestFtpRetrieveData` and its variants without
//! sendfile and with custom file objects.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use ftpdlib::FTPConfig;
use ftpdlib::filesystems::FSFile;
use testkit::{
    BIG, Client, DEADLINE, Hooks, MemoryFS, OwnFile, Server, Socket, WAYS, Way, Wrapper, begin,
    drain, fetch, next, pattern, read_all, reset, sparse, store, write_big,
};

use crate::MODE;

fn servers() -> Vec<(&'static str, Server)> {
    let small = |config: &mut FTPConfig| {
        config.use_sendfile = false;
        config.dtp.ac_out_buffer_size = 7;
    };
    vec![
        ("sendfile", Server::start(MODE)),
        (
            "copy",
            Server::with(MODE, |config| config.use_sendfile = false),
        ),
        ("small", Server::with(MODE, small)),
        (
            "memory",
            Server::with(MODE, |config| config.set_abstracted_fs(MemoryFS::default())),
        ),
    ]
}

#[test]
fn retr() {
    for (server_name, server) in servers() {
        let mut client = server.login();
        for size in [0, 1, 100, 70_000] {
            let bytes = pattern(size);
            store(&mut client, Way::Early, "STOR a", &bytes);
            for way in WAYS {
                let back = fetch(&mut client, way, "RETR a");
                assert!(back == bytes, "{server_name} {way:?} {size}");
            }
        }
        let reply = client.expect(550, "RETR missing");
        assert_eq!(reply, "550 No such file or directory.");
    }
}

#[test]
fn retr_several_mib() {
    for sendfile in [true, false] {
        let server = Server::with(MODE, move |config| config.use_sendfile = sendfile);
        let bytes = pattern(5 * 1024 * 1024 + 13);
        server.write("big", &bytes);
        let mut client = server.login();
        for way in WAYS {
            let back = fetch(&mut client, way, "RETR big");
            assert!(back == bytes, "{sendfile} {way:?}");
        }
    }
}

#[test]
fn retr_ascii() {
    for (server_name, server) in servers() {
        let mut client = server.login();
        // The line ends are around the places where the file is split.
        let mut text = Vec::new();
        let mut expected = Vec::new();
        for (before, after) in [
            (65_535, "\r\n"),
            (65_534, "\n\n"),
            (131_070, "\r\r\nx\n"),
            (3, "\n"),
        ] {
            for out in [&mut text, &mut expected] {
                let rest = before - out.len() % before;
                out.extend(std::iter::repeat_n(b'x', rest));
            }
            text.extend(after.bytes());
            let wire = after.replace("\r\n", "\n").replace('\n', "\r\n");
            expected.extend(wire.bytes());
        }
        store(&mut client, Way::Early, "STOR a", &text);
        // The expected bytes follow from the whole text, not from the pieces above.
        let unix = String::from_utf8(text).unwrap().replace("\r\n", "\n");
        let expected = unix.replace('\n', "\r\n");
        client.expect(200, "TYPE A");
        for way in WAYS {
            let back = fetch(&mut client, way, "RETR a");
            assert!(back == expected.as_bytes(), "{server_name} {way:?}");
        }
    }
}

#[test]
fn retr_ascii_already_crlf_at_the_cut() {
    for at in [65_534, 65_535, 65_536, 65_537] {
        let server = Server::start(MODE);
        let text = ["x".repeat(at), "\r\ny\n".to_owned()].concat();
        server.write("a", &text);
        let mut client = server.login();
        client.expect(200, "TYPE A");
        let back = fetch(&mut client, Way::Early, "RETR a");
        let expected = ["x".repeat(at), "\r\ny\r\n".to_owned()].concat();
        assert!(back == expected.as_bytes(), "{at}");
    }
}

#[test]
fn restore_on_retr() {
    for (server_name, server) in servers() {
        let mut client = server.login();
        let bytes = pattern(300_000);
        store(&mut client, Way::Early, "STOR a", &bytes);
        for at in [1, 70_000, 299_999, 300_000] {
            client.expect(350, format!("REST {at}"));
            let back = fetch(&mut client, Way::Early, "RETR a");
            assert!(back == bytes[at..], "{server_name} {at}");
        }
        client.expect(350, "REST 300001");
        let reply = client.expect(554, "RETR a");
        assert_eq!(reply, "554 REST position (300001) > file size (300000)");
        // REST counts once only.
        let back = fetch(&mut client, Way::Early, "RETR a");
        assert!(back == bytes, "{server_name}");
        client.expect(200, "TYPE A");
        client.expect(501, "REST 1");
    }
}

#[test]
fn quit_during_transfer() {
    let server = Server::start(MODE);
    let bytes = pattern(8 << 20);
    server.write("big", &bytes);
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "RETR big");
    client.expect(221, "QUIT");
    assert!(read_all(&mut data) == bytes);
    client.expect_reply(226);
    client.expect_eof();
}

#[test]
fn hooks_of_downloads() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    server.write("a", b"abc");
    sparse(&server.path("big"), 16 << 20);
    let mut client = server.login();
    for way in WAYS {
        fetch(&mut client, way, "RETR a");
        assert_eq!(next(&events), "log a");
        assert_eq!(next(&events), "sent a");
        let (mut data, _) = begin(&mut client, way, "RETR big");
        data.read_exact(&mut [0; 1000]).unwrap();
        reset(data);
        let reply = client.expect_reply(426);
        assert!(reply.starts_with("426 Transfer aborted; "), "{reply}");
        assert_eq!(next(&events), "log big");
        assert_eq!(next(&events), "incomplete sent big");
    }
    // A listing is not a file.
    fetch(&mut client, Way::Early, "LIST");
    drop(client);
    assert_eq!(next(&events), "disconnect");
    assert!(events.try_recv().is_err());
}

#[test]
fn unreadable_file_is_426_with_the_reason() {
    let fs = |path: &Path, mode| {
        let mut file = OwnFile::open(path, mode)?;
        file.fails = Some((5000, libc::EIO));
        Ok(Box::new(file) as Box<dyn FSFile>)
    };
    let (server, events) = Server::with_hooks(MODE, move |config| {
        config.set_abstracted_fs(Wrapper(Box::new(fs)))
    });
    server.write("a", pattern(10_000));
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "RETR a");
    let reply = client.expect_reply(426);
    assert_eq!(reply, "426 Input/output error; transfer aborted.");
    assert!(read_all(&mut data).len() <= 5000);
    assert_eq!(next(&events), "log a");
    assert_eq!(next(&events), "incomplete sent a");
}

/// The kernel may refuse to send files of /proc, whose size is 0.
#[test]
fn sendfile_that_fails_at_first_is_replaced() {
    const SOURCE: &str = "/proc/version";
    let fs = |path: &Path, _mode| {
        let mut file = OwnFile::new(path, File::open(SOURCE)?);
        file.exposed = true;
        Ok(Box::new(file) as Box<dyn FSFile>)
    };
    let server = Server::with(MODE, move |config| {
        config.set_abstracted_fs(Wrapper(Box::new(fs)))
    });
    let mut client = server.login();
    let expected = std::fs::read(SOURCE).unwrap();
    for way in WAYS {
        assert_eq!(fetch(&mut client, way, "RETR a"), expected);
    }
}

/// `sendfile` fails with this descriptor, but it can be read.
#[test]
fn sendfile_from_a_socket_is_replaced() {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    let fs = |path: &Path, _mode| {
        let (mut write, read) = UnixStream::pair()?;
        write.write_all(b"from a socket")?;
        let mut file = OwnFile::new(path, File::from(OwnedFd::from(read)));
        file.exposed = true;
        Ok(Box::new(file) as Box<dyn FSFile>)
    };
    let server = Server::with(MODE, move |config| {
        config.set_abstracted_fs(Wrapper(Box::new(fs)))
    });
    let mut client = server.login();
    for way in WAYS {
        assert_eq!(fetch(&mut client, way, "RETR a"), b"from a socket");
    }
}

/// The socket is closed before the file: the file waits in its `drop` until the client has seen
/// the end of the connection.
#[test]
fn socket_is_closed_before_the_file() {
    let (seen, may_close) = mpsc::channel::<()>();
    let may_close = std::sync::Arc::new(std::sync::Mutex::new(may_close));
    let (sender, events) = mpsc::channel();
    let file_sender = sender.clone();
    let fs = move |path: &Path, mode| {
        let mut file = OwnFile::open(path, mode)?;
        let (may_close, sender) = (may_close.clone(), file_sender.clone());
        file.dropped = Some(Box::new(move || {
            let seen = may_close.lock().unwrap().recv_timeout(DEADLINE / 4).is_ok();
            let _ = sender.send(format!("file closed {seen}"));
        }));
        Ok(Box::new(file) as Box<dyn FSFile>)
    };
    let server = Server::with_handler(
        MODE,
        move |config| config.set_abstracted_fs(Wrapper(Box::new(fs))),
        move |_| Hooks(sender.clone()),
    );
    server.write("a", b"abc");
    write_big(&server, "big");
    let mut client = server.login();
    // The final reply of the second one does not wait until the client has closed its side.
    for (name, size) in [("a", 3), ("big", BIG)] {
        let mut data = client.pasv();
        client.send(format!("RETR {name}\r\n"));
        assert_eq!(drain(&mut data), size);
        seen.send(()).unwrap();
        let code = client.reply().0;
        assert!(matches!(code, 125 | 150), "{code}");
        client.expect_reply(226);
        assert_eq!(next(&events), "file closed true", "{name}");
        assert_eq!(next(&events), format!("log {name}"));
        assert_eq!(next(&events), format!("sent {name}"));
    }
}

/// A file that is truncated while it is sent: the client learns that it has not got all of it.
#[test]
fn file_that_shrinks() {
    for (sendfile, kind, rest) in [
        (true, "I", None),
        (false, "I", None),
        (true, "A", None),
        (true, "I", Some(1000)),
    ] {
        let (server, events) =
            Server::with_hooks(MODE, move |config| config.use_sendfile = sendfile);
        let path = server.path("big");
        sparse(&path, 32 << 20);
        let mut client = server.login();
        client.expect(200, format!("TYPE {kind}"));
        if let Some(rest) = rest {
            client.expect(350, format!("REST {rest}"));
        }
        let (mut data, _) = begin(&mut client, Way::Early, "RETR big");
        data.read_exact(&mut [0; 1000]).unwrap();
        // Not shorter than what is sent already.
        let file = File::options().write(true).open(path).unwrap();
        file.set_len((32 << 20) - 1).unwrap();
        assert!(read_cut(&mut data) < 32 << 20);
        let reply = client.expect_reply(426);
        assert_eq!(
            reply,
            "426 The file has become shorter meanwhile; transfer aborted."
        );
        assert_eq!(next(&events), "log big");
        assert_eq!(next(&events), "incomplete sent big", "{kind} {rest:?}");
        client.expect(200, "NOOP");
    }
}

/// The same with a speed limit, and with a file that is truncated to nothing.
#[test]
fn throttled_file_that_shrinks() {
    let server = Server::with(MODE, |config| {
        config.set_dtp_handler(|| ftpdlib::ThrottledDTPHandler::new().write_limit(1 << 20));
    });
    sparse(&server.path("big"), 8 << 20);
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "RETR big");
    data.read_exact(&mut [0; 1000]).unwrap();
    File::create(server.path("big")).unwrap();
    read_cut(&mut data);
    client.expect_reply(426);
}

/// Under TLS, the end of a download that is not whole is no proper one: it has no `close_notify`.
/// So clients that never look at the reply see that something is missing.
#[test]
fn cut_downloads_do_not_look_whole() {
    let server = Server::start(MODE);
    sparse(&server.path("big"), BIG);
    let begin_big = |client: &mut Client| {
        let (mut data, _) = begin(client, Way::Early, "RETR big");
        data.read_exact(&mut [0; 1000]).unwrap();
        data
    };
    let mut client = server.login();
    let mut data = begin_big(&mut client);
    client.expect(426, "ABOR");
    client.expect_reply(226);
    read_cut(&mut data);
    // The session ends.
    let mut other = server.login();
    let mut data = begin_big(&mut other);
    reset(other.socket);
    read_cut(&mut data);
    // The file becomes empty.
    let mut data = begin_big(&mut client);
    File::options()
        .write(true)
        .open(server.path("big"))
        .and_then(|file| file.set_len(0))
        .unwrap();
    read_cut(&mut data);
    client.expect_reply(426);
    // The client reads nothing.
    let server = Server::with(MODE, |config| {
        config.dtp.timeout = Some(Duration::from_millis(100));
    });
    sparse(&server.path("big"), BIG);
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "RETR big");
    client.expect_reply(421);
    read_cut(&mut data);
}

/// The same for errors of the file.
#[test]
fn failed_downloads_do_not_look_whole() {
    for (size, fails) in [(100_000, 50_000), (100_000, 0), (1_000_000, 999_999)] {
        let open = move |path: &Path, mode| {
            let mut file = OwnFile::open(path, mode)?;
            file.fails = Some((fails, libc::EIO));
            Ok(Box::new(file) as Box<dyn FSFile>)
        };
        let server = Server::with(MODE, move |config| {
            config.set_abstracted_fs(Wrapper(Box::new(open)));
        });
        sparse(&server.path("file"), size);
        for way in WAYS {
            let mut client = server.login();
            let (mut data, _) = begin(&mut client, way, "RETR file");
            assert!(read_cut(&mut data) <= fails as u64);
            client.expect_reply(426);
        }
    }
}

/// Reads to the end, which is not a proper one over TLS.
#[track_caller]
fn read_cut(data: &mut Socket) -> u64 {
    let mut bytes = Vec::new();
    let end = data.read_to_end(&mut bytes);
    assert!(!MODE.is_secure() || end.is_err(), "it looks whole");
    bytes.len() as u64
}

/// A file that grows is sent at least up to the size that it had.
#[test]
fn file_that_grows() {
    for sendfile in [true, false] {
        let server = Server::with(MODE, move |config| config.use_sendfile = sendfile);
        sparse(&server.path("big"), 32 << 20);
        let mut client = server.login();
        let (mut data, _) = begin(&mut client, Way::Early, "RETR big");
        data.read_exact(&mut [0; 1000]).unwrap();
        let file = File::options()
            .write(true)
            .open(server.path("big"))
            .unwrap();
        file.set_len(33 << 20).unwrap();
        assert!(read_all(&mut data).len() >= (32 << 20) - 1000);
        client.expect_reply(226);
    }
}

#[test]
fn downloads_side_by_side() {
    let server = Server::start(MODE);
    let mut clients: Vec<_> = (0..4_u8).map(|_| server.login()).collect();
    let mut transfers = Vec::new();
    for (client, number) in clients.iter_mut().zip(0_u8..) {
        server.write(&format!("f{number}"), vec![number; 3 << 20]);
        transfers.push(begin(client, Way::Early, &format!("RETR f{number}")).0);
    }
    for (data, number) in transfers.iter_mut().zip(0_u8..) {
        assert!(read_all(data) == vec![number; 3 << 20], "{number}");
    }
    for mut client in clients {
        client.expect_reply(226);
    }
}
