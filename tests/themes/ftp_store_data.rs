//! STOR, APPE, STOU, and REST before them: as pyftpdlib's `TestFtpStoreData` and its variants
//! without sendfile and with custom file objects.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::net::Shutdown;

use ftpdlib::FTPConfig;
use testkit::{
    Client, MemoryFS, OwnFile, Server, WAYS, Way, Wrapper, begin, fetch, next, pattern, reset,
    store,
};

use crate::MODE;

/// The ways in which a server may store bytes.
fn servers() -> Vec<(&'static str, Server)> {
    let small = |config: &mut FTPConfig| {
        config.use_sendfile = false;
        config.dtp.ac_in_buffer_size = 7;
    };
    vec![
        ("splice", Server::start(MODE)),
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

fn stored(client: &mut Client, name: &str) -> Vec<u8> {
    client.expect(200, "TYPE I");
    fetch(client, Way::Early, &format!("RETR {name}"))
}

#[test]
fn stor() {
    for (server_name, server) in servers() {
        let mut client = server.login();
        for way in WAYS {
            for size in [0, 1, 100, 70_000] {
                let bytes = pattern(size);
                store(&mut client, way, "STOR a", &bytes);
                let back = stored(&mut client, "a");
                assert!(back == bytes, "{server_name} {way:?} {size}");
            }
        }
    }
}

#[test]
fn stor_replaces_what_was_longer() {
    for (_, server) in servers() {
        let mut client = server.login();
        store(&mut client, Way::Early, "STOR a", &pattern(1000));
        store(&mut client, Way::Early, "STOR a", b"x");
        assert_eq!(stored(&mut client, "a"), b"x");
    }
}

#[test]
fn stor_several_mib() {
    for sendfile in [true, false] {
        let server = Server::with(MODE, move |config| config.use_sendfile = sendfile);
        let mut client = server.login();
        let bytes = pattern(5 * 1024 * 1024 + 13);
        for way in WAYS {
            store(&mut client, way, "STOR big", &bytes);
            assert!(server.read("big") == bytes, "{sendfile} {way:?}");
        }
    }
}

#[test]
fn stor_ascii() {
    let text = b"one\r\ntwo\n\rthree\r\r\n\xff\x00four";
    let expected = b"one\ntwo\n\rthree\r\n\xff\x00four";
    for size in [1, 2, 3, 65_536] {
        let server = Server::with(MODE, move |config| config.dtp.ac_in_buffer_size = size);
        let mut client = server.login();
        for way in WAYS {
            client.expect(200, "TYPE A");
            store(&mut client, way, "STOR a", text);
            assert_eq!(server.read("a"), expected, "{size} {way:?}");
        }
        client.expect(200, "TYPE A");
        store(&mut client, Way::Early, "APPE a", b"\r\n");
        assert_eq!(server.read("a"), [&expected[..], b"\n"].concat());
    }
}

/// A CR that no LF follows is a byte like any other, also as the last one, and wherever the
/// bytes are split.
#[test]
fn stor_ascii_keeps_each_lone_cr() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.expect(200, "TYPE A");
    let text = b"a\rb\r\r\nc\r";
    for split in 0..=text.len() {
        let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
        data.write_all(&text[..split]).unwrap();
        // Let the server read the first part on its own.
        client.expect(200, "NOOP");
        data.write_all(&text[split..]).unwrap();
        data.shutdown(Shutdown::Write).unwrap();
        client.expect_reply(226);
        assert_eq!(server.read("a"), b"a\rb\r\nc\r", "{split}");
    }
    for (command, sent, expected) in [
        ("STOR b", &b"\r"[..], &b"\r"[..]),
        // What is appended is a text of its own.
        ("APPE b", b"\n\r", b"\r\n\r"),
        ("APPE b", b"\r\r", b"\r\n\r\r\r"),
        ("STOR b", b"a\rb\r", b"a\rb\r"),
    ] {
        store(&mut client, Way::Late, command, sent);
        assert_eq!(server.read("b"), expected, "{command} {sent:?}");
        // And back: no byte is lost on a download.
        let back = fetch(&mut client, Way::Early, "RETR b");
        assert_eq!(back, as_sent(expected), "{command} {sent:?}");
    }
    let reply = store(&mut client, Way::Early, "STOU", b"a\rb\r");
    let (_, name) = reply.split_once(" FILE: ").unwrap();
    assert_eq!(server.read(name), b"a\rb\r");
}

/// A file system that fails at the last CR fails the upload.
#[test]
fn failing_last_cr() {
    let fs = |path: &std::path::Path, mode| {
        let mut file = OwnFile::open(path, mode)?;
        file.fails = Some((3, libc::ENOSPC));
        Ok(Box::new(file) as _)
    };
    let server = Server::with(MODE, move |config| {
        config.set_abstracted_fs(Wrapper(Box::new(fs)))
    });
    let mut client = server.login();
    client.expect(200, "TYPE A");
    let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
    data.write_all(b"abc\r").unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    let reply = client.expect_reply(426);
    assert_eq!(reply, "426 No space left on device; transfer aborted.");
}

/// A text as TYPE A sends it.
fn as_sent(text: &[u8]) -> Vec<u8> {
    let mut sent = Vec::new();
    for &byte in text {
        if byte == b'\n' && sent.last() != Some(&b'\r') {
            sent.push(b'\r');
        }
        sent.push(byte);
    }
    sent
}

/// A final slash, or `.` and `..`, names a directory.
#[test]
fn stor_to_the_name_of_a_directory() {
    let server = Server::start(MODE);
    server.write("f", b"old");
    std::fs::create_dir(server.path("d")).unwrap();
    std::os::unix::fs::symlink("d", server.path("link")).unwrap();
    let mut client = server.login();
    for name in [
        "d1/", "d1//", "d1/.", "d1/..", ".", "..", "/", "d/", "f/", "f/.", "d/d1/", "link/",
    ] {
        for command in ["STOR", "APPE", "STOU"] {
            let reply = client.expect(553, format!("{command} {name}"));
            assert_eq!(reply, "553 The name of a file does not end with a slash.");
        }
    }
    let names = std::fs::read_dir(server.home.path()).unwrap();
    assert_eq!(names.count(), 3);
    assert_eq!(server.read("f"), b"old");
    // A file is none, and a link to a directory is no file.
    for command in [
        "RETR f/",
        "SIZE f/",
        "MDTM f/",
        "DELE f/",
        "RNFR f/",
        "DELE link/",
    ] {
        let reply = client.expect(550, command);
        assert_eq!(reply, "550 Not a directory.", "{command}");
    }
    for command in [
        "MFMT 20200101000000 f/",
        "SITE CHMOD 600 f/.",
        "MLST f/",
        "STAT f/",
    ] {
        client.expect(550, command);
    }
    client.expect(550, "RETR d/");
    client.expect(550, "DELE d/");
    // A new name with a slash is one for a directory only.
    client.expect(350, "RNFR f");
    client.expect(553, "RNTO g/");
    assert_eq!(server.read("f"), b"old");
    client.expect(350, "RNFR d");
    client.expect(250, "RNTO e/");
    client.expect(257, "MKD n/");
    client.expect(250, "CWD n/");
    client.expect(250, "CWD /");
    client.expect(250, "RMD n/");
}

#[test]
fn stor_ascii_several_mib() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.expect(200, "TYPE A");
    let text = b"a line of text\r\n".repeat(150_000);
    store(&mut client, Way::Early, "STOR a", &text);
    assert!(server.read("a") == b"a line of text\n".repeat(150_000));
}

#[test]
fn appe() {
    for (server_name, server) in servers() {
        let mut client = server.login();
        let (first, second) = (pattern(3000), pattern(70_001));
        store(&mut client, Way::Early, "APPE a", &first);
        store(&mut client, Way::Late, "APPE a", &second);
        let both = [first, second].concat();
        assert!(stored(&mut client, "a") == both, "{server_name}");
        client.expect(350, "REST 10");
        client.expect(450, "APPE a");
    }
}

#[test]
fn rest_on_stor() {
    for (server_name, server) in servers() {
        let mut client = server.login();
        let bytes = pattern(100_000);
        let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
        data.write_all(&bytes[..40_000]).unwrap();
        data.shutdown(Shutdown::Write).unwrap();
        client.expect_reply(226);
        client.expect(350, "REST 40000");
        store(&mut client, Way::Late, "STOR a", &bytes[40_000..]);
        assert!(stored(&mut client, "a") == bytes, "{server_name}");
        // In the middle: the bytes after it stay.
        client.expect(350, "REST 10");
        store(&mut client, Way::Early, "STOR a", b"XYZ");
        let back = stored(&mut client, "a");
        assert_eq!(&back[10..13], b"XYZ", "{server_name}");
        assert!(back[13..] == bytes[13..], "{server_name}");
    }
}

#[test]
fn failing_rest_on_stor() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.expect(350, "REST 1");
    let reply = client.expect(550, "STOR missing");
    assert_eq!(reply, "550 No such file or directory.");
    assert!(!server.path("missing").exists());
    server.write("a", b"12345");
    client.expect(350, "REST 6");
    let reply = client.expect(554, "STOR a");
    assert_eq!(reply, "554 REST position (6) > file size (5)");
    assert_eq!(server.read("a"), b"12345");
    // REST counts once only.
    store(&mut client, Way::Early, "STOR a", b"x");
    assert_eq!(server.read("a"), b"x");
}

#[test]
fn stou() {
    for (server_name, server) in servers() {
        let mut client = server.login();
        for (command, start) in [("STOU", "ftpd."), ("STOU name", "name.")] {
            for way in WAYS {
                let reply = store(&mut client, way, command, b"unique");
                let (code, name) = reply.split_once(" FILE: ").unwrap();
                assert!(matches!(code, "125" | "150"), "{reply}");
                assert!(name.starts_with(start), "{server_name}: {reply}");
                assert_eq!(stored(&mut client, name), b"unique", "{server_name}");
            }
        }
        client.expect(350, "REST 10");
        client.expect(450, "STOU");
    }
}

#[test]
fn quit_during_transfer() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
    data.write_all(b"abcde").unwrap();
    client.expect(221, "QUIT");
    // Commands after QUIT are ignored.
    client.send("DELE a\r\nNOOP\r\n");
    data.write_all(b"fgh").unwrap();
    drop(data);
    client.expect_reply(226);
    client.expect_eof();
    assert_eq!(server.read("a"), b"abcdefgh");
}

/// The client connects and closes before the server runs its STOR.
#[test]
fn empty_upload_that_is_closed_before_its_command() {
    let server = Server::start(MODE);
    let mut client = server.login();
    client.pasv().shutdown(Shutdown::Write).unwrap();
    testkit::await_data(&mut client);
    client.expect(125, "STOR a");
    client.expect_reply(226);
    assert_eq!(server.read("a"), b"");
    // The same with bytes.
    let mut data = client.pasv();
    data.write_all(b"early").unwrap();
    drop(data);
    testkit::await_data(&mut client);
    client.expect(125, "STOR a");
    client.expect_reply(226);
    assert_eq!(server.read("a"), b"early");
}

#[test]
fn hooks_of_uploads() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    let mut client = server.login();
    for command in ["STOR a", "APPE a"] {
        store(&mut client, Way::Early, command, b"bytes");
        assert_eq!(next(&events), "log a");
        assert_eq!(next(&events), "received a");
    }
    // RST is not the end of a file.
    for way in WAYS {
        let (mut data, _) = begin(&mut client, way, "STOR b");
        data.write_all(&pattern(1000)).unwrap();
        reset(data);
        let reply = client.expect_reply(426);
        assert!(reply.starts_with("426 Transfer aborted; "), "{reply}");
        assert_eq!(next(&events), "log b");
        assert_eq!(next(&events), "incomplete received b");
    }
    drop(client);
    assert_eq!(next(&events), "disconnect");
    assert!(events.try_recv().is_err());
}

#[test]
fn reset_upload_is_426_without_splice() {
    let server = Server::with(MODE, |config| config.use_sendfile = false);
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR b");
    data.write_all(&pattern(1000)).unwrap();
    reset(data);
    client.expect_reply(426);
    client.expect(200, "NOOP");
}

/// When the control connection closes in the middle, the transfer ends.
#[test]
fn lost_control_connection_ends_the_upload() {
    let (server, events) = Server::with_hooks(MODE, |_| {});
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
    data.write_all(b"abc").unwrap();
    drop(client);
    assert_eq!(next(&events), "log a");
    assert_eq!(next(&events), "incomplete received a");
    assert_eq!(next(&events), "disconnect");
}

#[test]
fn full_disk() {
    let fs = |path: &std::path::Path, mode| {
        let mut file = OwnFile::open(path, mode)?;
        file.fails = Some((5000, libc::ENOSPC));
        Ok(Box::new(file) as _)
    };
    let (server, events) = Server::with_hooks(MODE, move |config| {
        config.set_abstracted_fs(Wrapper(Box::new(fs)))
    });
    let mut client = server.login();
    for way in WAYS {
        let (mut data, _) = begin(&mut client, way, "STOR a");
        // The server may close before all of it is written.
        let _ = data.write_all(&pattern(100_000));
        let reply = client.expect_reply(426);
        assert_eq!(reply, "426 No space left on device; transfer aborted.");
        assert_eq!(next(&events), "log a");
        assert_eq!(next(&events), "incomplete received a");
        assert_eq!(server.read("a").len(), 5000);
    }
    client.expect(200, "NOOP");
}

/// A client that keeps sending after the disk is full can read the reply, and then the end of
/// the data connection: nothing is reset.
#[test]
fn full_disk_resets_nothing() {
    for (errno, text) in [
        (libc::ENOSPC, "No space left on device"),
        (libc::EDQUOT, "Disk quota exceeded"),
        (libc::EFBIG, "File too large"),
        (libc::EIO, "Input/output error"),
    ] {
        let fs = move |path: &std::path::Path, mode| {
            let mut file = OwnFile::open(path, mode)?;
            file.fails = Some((5000, errno));
            Ok(Box::new(file) as _)
        };
        let server = Server::with(MODE, move |config| {
            config.set_abstracted_fs(Wrapper(Box::new(fs)))
        });
        let mut client = server.login();
        for kind in ["I", "A"] {
            client.expect(200, format!("TYPE {kind}"));
            let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
            data.write_all(&vec![b'x'; 8 << 20]).unwrap();
            let reply = client.expect_reply(426);
            assert_eq!(reply, format!("426 {text}; transfer aborted."));
            // The session goes on while the old connection is still there.
            client.expect(200, "NOOP");
            data.write_all(&vec![b'x'; 1 << 20]).unwrap();
            data.shutdown(Shutdown::Write).unwrap();
            assert_eq!(testkit::read_whole(&mut data), b"");
        }
        let data = client.pasv();
        client.expect(550, "RETR missing");
        drop(data);
    }
}

/// ABOR, and a hook that ends an upload, leave the data connection to a client that sends.
#[test]
fn aborted_upload_resets_nothing() {
    let server = Server::start(MODE);
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
    data.write_all(&pattern(100_000)).unwrap();
    client.expect(426, "ABOR");
    client.expect_reply(226);
    data.write_all(&pattern(4 << 20)).unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    assert_eq!(testkit::read_whole(&mut data), b"");
    // A new transfer does not wait for the end of the old one.
    let (mut old, _) = begin(&mut client, Way::Early, "STOR b");
    old.write_all(b"b").unwrap();
    client.expect(426, "ABOR");
    client.expect_reply(226);
    store(&mut client, Way::Early, "STOR c", b"c");
    drop(old);
}

/// Some file systems report the error only when the file is closed.
#[test]
fn full_disk_at_close() {
    let fs = |path: &std::path::Path, mode| {
        let mut file = OwnFile::open(path, mode)?;
        file.exposed = true;
        file.finish_fails = Some(libc::EDQUOT);
        Ok(Box::new(file) as _)
    };
    let (server, events) = Server::with_hooks(MODE, move |config| {
        config.set_abstracted_fs(Wrapper(Box::new(fs)))
    });
    let mut client = server.login();
    let (mut data, _) = begin(&mut client, Way::Early, "STOR a");
    data.write_all(b"abc").unwrap();
    drop(data);
    let reply = client.expect_reply(426);
    assert!(reply.ends_with("; transfer aborted."), "{reply}");
    assert_eq!(next(&events), "log a");
    assert_eq!(next(&events), "incomplete received a");
}

/// The kernel does not splice to a file that is open for appending.
#[test]
fn splice_that_fails_at_first_is_replaced() {
    let fs = |path: &std::path::Path, mode| {
        let mut file = OwnFile::open(path, mode)?;
        if mode == ftpdlib::filesystems::OpenMode::Write {
            file.file = std::fs::File::options().append(true).open(path)?;
        }
        file.exposed = true;
        Ok(Box::new(file) as _)
    };
    let server = Server::with(MODE, move |config| {
        config.set_abstracted_fs(Wrapper(Box::new(fs)))
    });
    let mut client = server.login();
    let bytes = pattern(2_000_003);
    for way in WAYS {
        store(&mut client, way, "STOR a", &bytes);
        assert!(server.read("a") == bytes, "{way:?}");
    }
}

/// Transfers share the kernel's pipe, one after the other: none may leave bytes in it.
#[test]
fn uploads_side_by_side_do_not_mix() {
    let server = Server::start(MODE);
    let mut clients: Vec<_> = (0..4_u8).map(|_| server.login()).collect();
    let mut transfers: Vec<_> = clients
        .iter_mut()
        .zip(0_u8..)
        .map(|(client, number)| begin(client, Way::Early, &format!("STOR f{number}")).0)
        .collect();
    for _ in 0..50 {
        for (data, number) in transfers.iter_mut().zip(0_u8..) {
            data.write_all(&[number; 3001]).unwrap();
        }
    }
    // One of them fails in the middle.
    reset(transfers.remove(1));
    clients.remove(1).expect_reply(426);
    drop(transfers);
    for (client, number) in clients.iter_mut().zip([0_u8, 2, 3]) {
        client.expect_reply(226);
        let bytes = server.read(&format!("f{number}"));
        assert!(bytes == vec![number; 3001 * 50], "{number}");
    }
}

/// The kernel's own way and that through memory end at the same byte.
#[test]
fn the_largest_size_of_an_upload() {
    const MOST: usize = 700_001;
    for use_sendfile in [true, false] {
        let server = Server::with(MODE, move |config| {
            config.max_upload_size = MOST as u64;
            config.use_sendfile = use_sendfile;
        });
        let mut client = server.login();
        client.expect(200, "TYPE I");
        let bytes = pattern(2 * MOST);
        for (before, rest, command) in [
            (0, 0, "STOR a"),
            (MOST, 0, "STOR a"),
            (1000, 0, "APPE a"),
            (1000, 1000, "STOR a"),
        ] {
            for (size, code) in [(MOST, 226), (MOST + 1, 552), (bytes.len(), 552)] {
                server.write("a", &bytes[..before]);
                let kept = if command == "APPE a" { before } else { rest };
                if rest > 0 {
                    client.expect(350, format!("REST {rest}"));
                }
                let (mut data, _) = begin(&mut client, Way::Early, command);
                // The server reads the rest, so that the client can send it.
                data.write_all(&bytes[kept..size]).unwrap();
                drop(data);
                client.expect_reply(code);
                assert!(
                    server.read("a") == bytes[..size.min(MOST)],
                    "{command} {size}"
                );
            }
        }
    }
}
