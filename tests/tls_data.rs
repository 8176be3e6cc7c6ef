//! Data connections under TLS: what is transferred, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use ftpdlib::ThrottledDTPHandler;
use rustls::version::TLS13;
use testkit::{
    BIG, Mode, Server, Socket, WAYS, Way, at_once, await_data, await_refusal, begin, client_config,
    connect_data, drain, each_version, fetch, next, parse_227, pattern, read_whole, reset, serve,
    store, wait_for, with_tls, write_big,
};

// --- how it ends

/// First comes `close_notify`, then the end of the connection, and then 226.
#[test]
fn the_end_of_a_download() {
    let server = serve(|_| {});
    server.write("a", pattern(100_000));
    write_big(&server, "big");
    for config in each_version() {
        let mut client = server.login_over(&config);
        for command in ["RETR a", "NLST", "LIST", "MLSD"] {
            for way in WAYS {
                let (mut data, _) = begin(&mut client, way, command);
                read_whole(&mut data);
                // The first read was the end of TLS; this is the end of the connection.
                let mut tcp = data.into_tcp();
                assert_eq!(tcp.read(&mut [0]).unwrap(), 0, "{command} {way:?}");
                client.expect_reply(226);
            }
        }
        let (mut data, _) = begin(&mut client, Way::Early, "RETR big");
        data.read_exact(&mut [0; 1000]).unwrap();
        client.expect(200, "NOOP");
        assert!(client.is_silent());
        assert_eq!(drain(&mut data), BIG - 1000);
        client.expect_reply(226);
    }
}

fn hooked(strict: bool) -> (Server, Receiver<String>) {
    let change = with_tls(move |tls| tls.strict_eof = strict);
    let (server, events) = Server::with_hooks(Mode::Clear, change);
    (server, events)
}

/// How an upload may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With `close_notify` and FIN.
    Good,
    /// With `close_notify`; the connection stays open until the server closes.
    Open,
    /// With FIN alone, as many clients do.
    Bare,
    /// In the middle of a record.
    Cut,
    Reset,
}

const ENDS: [End; 5] = [End::Good, End::Open, End::Bare, End::Cut, End::Reset];

#[test]
fn the_end_of_an_upload() {
    let bytes = pattern(50_000);
    for strict in [false, true] {
        let (server, events) = hooked(strict);
        for config in each_version() {
            let mut client = server.login_over(&config);
            for (end, way) in ENDS.into_iter().flat_map(|end| WAYS.map(|way| (end, way))) {
                let (mut data, _) = begin(&mut client, way, "STOR a");
                data.write_all(&bytes).unwrap();
                let what = format!("{strict} {end:?} {way:?}");
                let complete = match end {
                    End::Good | End::Open => true,
                    End::Bare => !strict,
                    End::Cut | End::Reset => false,
                };
                let kept = finish_upload(data, end);
                let (code, reply) = client.reply();
                assert_eq!(code, if complete { 226 } else { 426 }, "{what}: {reply}");
                drop(kept);
                assert_eq!(next(&events), "log a");
                let event = if complete {
                    "received a"
                } else {
                    "incomplete received a"
                };
                assert_eq!(next(&events), event, "{what}");
                let stored = server.read("a");
                assert!(bytes.starts_with(&stored), "{what}");
                // A reset may lose bytes that came before it.
                assert!(stored.len() == bytes.len() || end == End::Reset, "{what}");
            }
            client.expect(200, "NOOP");
            drop(client);
            assert_eq!(next(&events), "disconnect");
        }
    }
}

fn finish_upload(data: Socket, end: End) -> Option<TcpStream> {
    match end {
        End::Good => {
            data.shutdown(Shutdown::Write).unwrap();
            None
        }
        End::Open => {
            data.send_close_notify();
            Some(data.into_tcp())
        }
        End::Bare => {
            data.into_tcp().shutdown(Shutdown::Write).unwrap();
            None
        }
        End::Cut => {
            let mut record = Vec::new();
            data.ask(|tls| {
                tls.writer().write_all(b"what is never stored").unwrap();
                tls.write_tls(&mut record).unwrap();
            });
            let mut tcp = data.into_tcp();
            tcp.write_all(&record[..record.len() - 1]).unwrap();
            tcp.shutdown(Shutdown::Write).unwrap();
            None
        }
        End::Reset => {
            reset(data);
            None
        }
    }
}

/// An empty upload that ends without `close_notify`, after the handshake.
#[test]
fn empty_uploads() {
    for strict in [false, true] {
        let (server, _events) = hooked(strict);
        for config in each_version() {
            let mut client = server.login_over(&config);
            for end in [End::Good, End::Open, End::Bare] {
                let (data, _) = begin(&mut client, Way::Late, "STOR a");
                let kept = finish_upload(data, end);
                let complete = !strict || end != End::Bare;
                client.expect_reply(if complete { 226 } else { 426 });
                drop(kept);
                assert_eq!(server.read("a"), b"");
            }
        }
    }
}

/// A changed record is not the end of a file.
#[test]
fn a_record_that_was_changed() {
    let (server, events) = hooked(false);
    for config in each_version() {
        let mut client = server.login_over(&config);
        let (data, _) = begin(&mut client, Way::Late, "STOR a");
        let mut record = Vec::new();
        data.ask(|tls| {
            tls.writer().write_all(b"what is never stored").unwrap();
            tls.write_tls(&mut record).unwrap();
        });
        *record.last_mut().unwrap() ^= 1;
        let mut tcp = data.into_tcp();
        tcp.write_all(&record).unwrap();
        // The record may count as a part of the handshake.
        let (code, reply) = client.reply();
        assert!(matches!(code, 426 | 522), "{reply}");
        // An upload whose handshake has failed leaves no file.
        let stored = std::fs::read(server.path("a")).unwrap_or_default();
        assert_eq!(stored, b"");
        assert_eq!(next(&events), "log a");
        assert_eq!(next(&events), "incomplete received a");
        client.expect(200, "NOOP");
        drop(client);
        assert_eq!(next(&events), "disconnect");
    }
}

/// A client with nothing to send may send `close_notify` at once, and read on.
#[test]
fn downloads_to_a_client_that_has_sent_close_notify() {
    let server = serve(|_| {});
    let bytes = pattern(3 << 20);
    server.write("a", &bytes);
    for config in each_version() {
        let mut client = server.login_over(&config);
        for way in WAYS {
            let (mut data, _) = begin(&mut client, way, "RETR a");
            data.shutdown(Shutdown::Write).unwrap();
            assert!(read_whole(&mut data) == bytes, "{way:?}");
            client.expect_reply(226);
        }
    }
}

#[test]
fn downloads_that_are_cut() {
    let (server, events) = hooked(false);
    write_big(&server, "big");
    for config in each_version() {
        let mut client = server.login_over(&config);
        for closed in [false, true] {
            for way in WAYS {
                let (mut data, _) = begin(&mut client, way, "RETR big");
                data.read_exact(&mut [0; 1000]).unwrap();
                if closed {
                    drop(data);
                } else {
                    reset(data);
                }
                let reply = client.expect_reply(426);
                assert!(reply.starts_with("426 Transfer aborted; "), "{reply}");
                assert_eq!(next(&events), "log big");
                assert_eq!(next(&events), "incomplete sent big");
            }
        }
        drop(client);
        assert_eq!(next(&events), "disconnect");
    }
}

// --- what is transferred

#[test]
fn files_of_all_sizes() {
    // Sizes around that of a record.
    let files = [0, 1, 16_383, 16_384, 16_385, (5 << 20) + 13];
    let buffers = [(1, 4_000), (100, 16_385), (65_536, 6 << 20)];
    at_once(buffers, |(buffer, most)| {
        let change = with_tls(|_| {});
        let server = Server::with(Mode::Clear, move |config| {
            change(config);
            config.dtp.ac_in_buffer_size = buffer;
            config.dtp.ac_out_buffer_size = buffer;
        });
        for config in each_version() {
            let mut client = server.login_over(&config);
            for file in files {
                let bytes = pattern(file.min(most));
                for way in WAYS {
                    store(&mut client, way, "STOR a", &bytes);
                    assert!(server.read("a") == bytes, "{buffer} {file} {way:?}");
                    let back = fetch(&mut client, way, "RETR a");
                    assert!(back == bytes, "{buffer} {file} {way:?}");
                }
            }
        }
    });
}

#[test]
fn ascii_and_restarts() {
    for size in [1, 100, 65_536] {
        let change = with_tls(|_| {});
        let server = Server::with(Mode::Clear, move |config| {
            change(config);
            config.dtp.ac_in_buffer_size = size;
            config.dtp.ac_out_buffer_size = size;
        });
        let wire = b"one\r\ntwo\n\rthree\r\r\n\xff\x00four".repeat(200);
        let stored = b"one\ntwo\n\rthree\r\n\xff\x00four".repeat(200);
        for config in each_version() {
            let mut client = server.login_over(&config);
            client.expect(200, "TYPE A");
            store(&mut client, Way::Late, "STOR a", &wire);
            assert!(server.read("a") == stored, "{size}");
            store(&mut client, Way::Active, "STOR b", b"x\r\ny\r\n");
            assert_eq!(fetch(&mut client, Way::Early, "RETR b"), b"x\r\ny\r\n");
            client.expect(200, "TYPE I");
            client.expect(350, "REST 100");
            assert!(fetch(&mut client, Way::Late, "RETR a") == stored[100..]);
            client.expect(350, "REST 100");
            store(&mut client, Way::Late, "STOR a", b"XYZ");
            store(&mut client, Way::Early, "APPE a", b"end");
            let expected = [&stored[..100], b"XYZ", &stored[103..], b"end"].concat();
            assert!(server.read("a") == expected, "{size}");
        }
    }
}

#[test]
fn long_listings() {
    let server = serve(|_| {});
    for number in 0..1000 {
        server.write(&format!("{number:0>60}"), "");
    }
    let mut plain = server.login();
    for config in each_version() {
        let mut client = server.login_over(&config);
        for command in ["LIST", "NLST", "MLSD"] {
            let expected = plain.download(command);
            for way in WAYS {
                assert!(fetch(&mut client, way, command) == expected, "{command}");
            }
        }
    }
}

/// Keys may be changed in the middle of a transfer (TLS 1.3).
#[test]
fn keys_that_are_changed() {
    let server = serve(|_| {});
    let bytes = pattern(3 << 20);
    server.write("a", &bytes);
    let config = Arc::new(client_config(&[&TLS13]));
    let mut client = server.login_over(&config);
    let change = |socket: &Socket| socket.ask(|tls| tls.refresh_traffic_keys().unwrap());
    for _ in 0..100 {
        change(&client.socket);
        client.expect(200, "NOOP");
    }
    let (mut data, _) = begin(&mut client, Way::Late, "STOR b");
    for chunk in bytes.chunks(100_000) {
        data.write_all(chunk).unwrap();
        change(&data);
    }
    data.shutdown(Shutdown::Write).unwrap();
    client.expect_reply(226);
    assert!(server.read("b") == bytes);
    let (mut data, _) = begin(&mut client, Way::Late, "RETR a");
    data.read_exact(&mut [0; 1000]).unwrap();
    for _ in 0..3 {
        change(&data);
        // The message goes out with the next bytes that are written.
        data.write_all(b"x").unwrap();
    }
    assert!(read_whole(&mut data) == bytes[1000..]);
    client.expect_reply(226);
}

// --- slow and many

/// The server's socket is full most of the time, and other sessions do not wait.
#[test]
fn a_slow_reader() {
    let server = serve(|_| {});
    let bytes = pattern(6 << 20);
    server.write("a", &bytes);
    for config in each_version() {
        let mut slow = server.login_over(&config);
        let mut other = server.login_over(&config);
        let (mut data, _) = begin(&mut slow, Way::Early, "RETR a");
        let mut back = Vec::new();
        for round in 0_usize.. {
            let mut chunk = vec![0; 7000];
            let size = data.read(&mut chunk).unwrap();
            back.extend_from_slice(&chunk[..size]);
            if round % 50 == 0 {
                other.expect(200, "NOOP");
                // The control connection is as fast as ever.
                if back.len() < 1 << 20 {
                    slow.expect(200, "NOOP");
                }
            }
            if size == 0 {
                break;
            }
        }
        assert!(back == bytes);
        slow.expect_reply(226);
    }
}

/// What a client sends during a download is dropped and does no harm.
#[test]
fn a_talkative_reader() {
    let server = serve(|_| {});
    let bytes = pattern(3 << 20);
    server.write("a", &bytes);
    for config in each_version() {
        let mut client = server.login_over(&config);
        let (mut data, _) = begin(&mut client, Way::Early, "RETR a");
        let mut back = vec![0; bytes.len()];
        let half = bytes.len() / 2;
        data.write_all(b"are we there yet?").unwrap();
        data.read_exact(&mut back[..half]).unwrap();
        data.read_exact(&mut back[half..]).unwrap();
        assert!(back == bytes);
        drop(data);
        client.expect_reply(226);
    }
}

#[test]
fn throttled_transfers() {
    let change = with_tls(|_| {});
    let server = Server::with(Mode::Clear, |config| {
        change(config);
        config.set_dtp_handler(|| {
            ThrottledDTPHandler::new()
                .read_limit(40_000)
                .write_limit(40_000)
        });
    });
    let bytes = pattern(120_000);
    let [config, other] = each_version();
    let mut client = server.login_over(&config);
    let start = std::time::Instant::now();
    let writer = std::thread::spawn({
        let (mut client, bytes) = (server.login_over(&other), bytes.clone());
        move || store(&mut client, Way::Late, "STOR b", &bytes)
    });
    server.write("a", &bytes);
    assert!(fetch(&mut client, Way::Late, "RETR a") == bytes);
    writer.join().unwrap();
    assert!(server.read("b") == bytes);
    assert!(start.elapsed() > std::time::Duration::from_millis(900));
    // A transfer that is aborted while the limit holds it back.
    let (mut data, _) = begin(&mut client, Way::Early, "RETR a");
    data.read_exact(&mut [0; 1000]).unwrap();
    client.expect(426, "ABOR");
    client.expect_reply(226);
}

#[test]
fn aborted_transfers() {
    let (server, events) = hooked(false);
    write_big(&server, "big");
    for config in each_version() {
        let mut client = server.login_over(&config);
        for way in WAYS {
            let (mut data, _) = begin(&mut client, way, "RETR big");
            data.read_exact(&mut [0; 1000]).unwrap();
            client.expect(426, "ABOR");
            client.expect_reply(226);
            // A file that was cut does not look whole.
            let mut rest = Vec::new();
            let result = data.read_to_end(&mut rest);
            assert!(rest.len() < usize::try_from(BIG).unwrap());
            assert!(result.is_err(), "{way:?}");
            assert_eq!(next(&events), "log big");
            assert_eq!(next(&events), "incomplete sent big");

            let (mut data, _) = begin(&mut client, way, "STOR up");
            data.write_all(b"abc").unwrap();
            wait_for("bytes", || server.read("up") == b"abc");
            client.expect(426, "ABOR");
            client.expect_reply(226);
            assert_eq!(next(&events), "log up");
            assert_eq!(next(&events), "incomplete received up");
        }
        // Before the handshake, and in the middle of it.
        for begun in [false, true] {
            let address = parse_227(&client.expect(227, "PASV"));
            let mut data = TcpStream::connect(address).unwrap();
            if begun {
                data.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
            }
            await_data(&mut client);
            client.begin("RETR big");
            client.expect(426, "ABOR");
            client.expect_reply(226);
            assert_eq!(next(&events), "log big");
            assert_eq!(next(&events), "incomplete sent big");
        }
        drop(client);
        assert_eq!(next(&events), "disconnect");
    }
}

#[test]
fn many_transfers_at_once() {
    let server = serve(|_| {});
    for number in 0..6 {
        server.write(&format!("f{number}"), vec![b'0' + number; 2 << 20]);
    }
    let workers: Vec<_> = (0..6_u8)
        .map(|number| {
            let mut client = server.login_over(&each_version()[usize::from(number) % 2]);
            std::thread::spawn(move || {
                let expected = vec![b'0' + number; 2 << 20];
                for way in WAYS {
                    let back = fetch(&mut client, way, &format!("RETR f{number}"));
                    assert!(back == expected);
                    store(&mut client, way, &format!("STOR g{number}"), &expected);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    for number in 0..6 {
        let stored = server.read(&format!("g{number}"));
        assert!(stored == vec![b'0' + number; 2 << 20]);
    }
}

/// After QUIT a transfer is finished before the session ends.
#[test]
fn quit_during_transfers() {
    let server = serve(|_| {});
    let bytes = pattern(3 << 20);
    server.write("a", &bytes);
    for config in each_version() {
        let mut client = server.login_over(&config);
        let (mut data, _) = begin(&mut client, Way::Late, "RETR a");
        client.expect(221, "QUIT");
        assert!(read_whole(&mut data) == bytes);
        client.expect_reply(226);
        client.expect_eof();
        // Before its handshake, too.
        let mut client = server.login_over(&config);
        let address = parse_227(&client.expect(227, "PASV"));
        let tcp = TcpStream::connect(address).unwrap();
        await_data(&mut client);
        client.begin("STOR b");
        client.expect(221, "QUIT");
        let mut data = Socket::under_tls(tcp, &config);
        data.write_all(b"abc").unwrap();
        drop(data);
        client.expect_reply(226);
        client.expect_eof();
        assert_eq!(server.read("b"), b"abc");
    }
}

/// The passive listener accepts the first connection only.
#[test]
fn a_second_connection_to_the_same_port() {
    let server = serve(|_| {});
    server.write("a", b"abc");
    for config in each_version() {
        let mut client = server.login_over(&config);
        let address = parse_227(&client.expect(227, "PASV"));
        let mut data = connect_data(address);
        await_data(&mut client);
        await_refusal(address);
        client.begin("RETR a");
        assert_eq!(read_whole(&mut data), b"abc");
        client.expect_reply(226);
    }
}
