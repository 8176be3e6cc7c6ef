//! Data connections in memory.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use ftpdlib::handlers::{CmdArg, StockHandler, commands};
use ftpdlib::proto::encoding::UnicodeErrors;
use ftpdlib::testing::Session;
use ftpdlib::{FTPHandler, FTPSession, ThrottledDTPHandler, TlsConfig};
use rustls::ClientConnection;
use testkit::authority::Pair;
use testkit::pattern;

use super::place::{place, reply};
use super::{MINUTE, SECOND};

#[test]
fn files_and_listings() {
    let place = place();
    for size in [0, 1, 65_536, 500_000] {
        let (mut session, events) = place.reporting();
        let bytes = pattern(size);
        assert_eq!(session.stor("a", &bytes), "226 Transfer complete.");
        assert!(place.read("a") == bytes);
        assert!(session.retr("a").unwrap() == bytes);
        assert!(session.list("LIST").unwrap().ends_with(" a\r\n"));
        assert!(
            session
                .list("MLSD")
                .unwrap()
                .contains(&format!("size={size};"))
        );
        let events: Vec<_> = events.try_iter().skip(1).collect();
        assert_eq!(events, ["received a", "sent a"]);
    }
    let mut session = place.login();
    assert_eq!(session.retr("b").unwrap_err().code(), 550);
    assert_eq!(session.stor("no/b", b"x").code(), 550);
    assert_eq!(session.list("MLSD a").unwrap_err().code(), 501);
    session.command("REIN");
    assert_eq!(session.retr("a").unwrap_err().code(), 530);
}

#[test]
fn passive_and_active() {
    let place = place();
    place.write("a", b"one\ntwo\n");
    let mut session = place.login();
    for active in [false, true] {
        let mut data = match active {
            false => session.passive(),
            true => session.active(),
        };
        assert_eq!(session.command("RETR a").code(), 125);
        assert_eq!(data.read_to_end(), b"one\r\ntwo\r\n", "in TYPE A");
        assert!(data.is_closed());
        assert_eq!(reply(&mut session), "226 Transfer complete.");
    }
    // The command comes first.
    let port = session.command("PASV").port().unwrap();
    assert_eq!(session.command("STOR b").code(), 150);
    let client = IpAddr::from([127, 0, 0, 1]);
    let mut data = session.connect(client, port).unwrap();
    assert_eq!(data.write(b"hello"), 5);
    assert_eq!(session.reply(), None);
    data.close();
    assert_eq!(reply(&mut session), "226 Transfer complete.");
    assert_eq!(place.read("b"), b"hello");
    // Only one connection is accepted.
    assert!(session.connect(client, port).is_err());
}

#[test]
fn ipv6() {
    let place = place();
    let at = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let config = place.config.clone();
    let mut session = Session::with_addresses(config, StockHandler, at(1234), at(21)).unwrap();
    session.login("user", "12345");
    assert_eq!(session.stor("a", b"abc").code(), 226);
    assert_eq!(session.retr("a").unwrap(), b"abc");
    let mut data = session.active();
    assert_eq!(session.command("RETR a").code(), 125);
    assert_eq!(data.read_to_end(), b"abc");
    assert_eq!(session.with(|_, s| s.remote_port()), 1234);
}

#[test]
fn passive_timeout() {
    let mut session = place().login();
    let port = session.command("PASV").port().unwrap();
    session.advance(29 * SECOND);
    assert_eq!(session.reply(), None);
    session.advance(SECOND);
    assert_eq!(reply(&mut session), "421 Passive data channel timed out.");
    assert!(session.connect([127, 0, 0, 1].into(), port).is_err());
    assert_eq!(session.command("NOOP").code(), 200);
}

#[test]
fn active_connections_that_are_not_made() {
    let mut place = place();
    let refused = "425 Can't connect to specified address.";
    assert_eq!(place.login().command("PORT 127,0,0,1,200,1"), refused);
    let mut session = place.login();
    assert_eq!(session.command("EPRT |1|127.0.0.1|51201|"), refused);
    place.config.permit_foreign_addresses = true;
    let mut session = place.login();
    // No host has this address, so no answer comes.
    session.send(b"PORT 192,0,2,1,200,1\r\nNOOP\r\n");
    session.advance(29 * SECOND);
    assert_eq!(session.reply(), None);
    session.advance(SECOND);
    assert_eq!(reply(&mut session), "421 Active data channel timed out.");
    assert_eq!(session.reply().unwrap().code(), 200);
}

/// Their replies do not overtake that of PORT.
#[test]
fn lines_that_are_too_long_wait_for_the_reply_of_port() {
    let mut place = place();
    place.config.permit_foreign_addresses = true;
    let long = "x".repeat(2049);
    // The end of the line is there, comes later, or never comes.
    for (now, later) in [("\r\nNOOP\r\n", ""), ("", "\r\nNOOP\r\n"), ("x", "")] {
        let mut session = place.login();
        session.send(format!("PORT 192,0,2,1,200,1\r\n{long}{now}").as_bytes());
        session.send(later.as_bytes());
        assert_eq!(session.reply(), None);
        session.advance(30 * SECOND);
        assert_eq!(reply(&mut session), "421 Active data channel timed out.");
        assert_eq!(reply(&mut session), "500 Command too long.");
        if now != "x" {
            assert_eq!(session.reply().unwrap().code(), 200);
        }
        assert_eq!(session.reply(), None);
    }
}

/// Neither does a line that cannot be decoded, although it ends like an ABOR.
#[test]
fn a_line_that_cannot_be_decoded_waits_for_the_reply_of_port() {
    let mut place = place();
    place.config.permit_foreign_addresses = true;
    place.config.unicode_errors = UnicodeErrors::Strict;
    let mut session = place.login();
    session.send(b"PORT 192,0,2,1,200,1\r\n\xff\xf4\xff\xf2ABOR\r\nNOOP\r\n");
    assert_eq!(session.reply(), None);
    session.advance(30 * SECOND);
    assert_eq!(reply(&mut session), "421 Active data channel timed out.");
    assert_eq!(reply(&mut session), "501 Can't decode command.");
    assert_eq!(session.reply().unwrap().code(), 200);
    assert_eq!(session.reply(), None);
}

/// Reports the commands for data connections that [`FTPHandler::log_cmd`] gets.
struct Logging(Sender<String>);

impl FTPHandler for Logging {
    fn log_cmd(&mut self, _: &mut FTPSession, cmd: &str, arg: &CmdArg<'_>, code: u16, _: &str) {
        if matches!(cmd, "PORT" | "EPRT" | "PASV" | "ABOR") {
            let _ = self.0.send(format!("{cmd} {} {code}", arg.to_text()));
        }
    }
}

/// Whether the connection is made, fails, or is replaced by another one.
#[test]
fn commands_for_data_connections_are_logged_once() {
    let mut place = place();
    place.config.permit_foreign_addresses = true;
    place.write("file", b"");
    let (lines, events) = channel();
    let mut session = Session::new(place.config.clone(), Logging(lines)).unwrap();
    session.login("user", "12345");
    let mut logged = |commands: &str, expected: &[&str]| {
        session.send(commands.as_bytes());
        session.receive();
        assert_eq!(
            events.try_iter().collect::<Vec<_>>(),
            expected,
            "{commands}"
        );
    };
    // Nobody listens there; then a transfer is dropped for another connection.
    logged("PORT 127,0,0,1,200,1\r\n", &["PORT 127.0.0.1:51201 425"]);
    logged(
        "EPRT |1|127.0.0.1|51201|\r\n",
        &["EPRT 127.0.0.1:51201 425"],
    );
    logged("PASV\r\nRETR file\r\n", &["PASV  227"]);
    logged("PASV\r\nRETR file\r\n", &["PASV  227"]);
    logged("PORT 192,0,2,1,200,1\r\n", &[]);
    session.advance(30 * SECOND);
    let lines: Vec<_> = events.try_iter().collect();
    assert_eq!(lines, ["PORT 192.0.2.1:51201 421"]);
    let listener = session.listen(([127, 0, 0, 1], 51_201).into()).unwrap();
    session.send(b"PORT 127,0,0,1,200,1\r\n");
    session.receive();
    assert!(listener.accept().is_some());
    let lines: Vec<_> = events.try_iter().collect();
    assert_eq!(lines, ["PORT 127.0.0.1:51201 200"]);
}

#[test]
fn foreign_hosts() {
    let foreign: IpAddr = [192, 0, 2, 1].into();
    let mut place = place();
    for permitted in [false, true] {
        place.config.permit_foreign_addresses = permitted;
        let mut session = place.login();
        let port = session.command("PASV").port().unwrap();
        let mut data = session.connect(foreign, port).unwrap();
        assert_eq!(data.is_closed(), !permitted);
        if !permitted {
            data = session.connect([127, 0, 0, 1].into(), port).unwrap();
        }
        assert_eq!(session.command("NLST").code(), 125);
        assert_eq!(data.read_to_end(), b"");
    }
}

#[test]
fn passive_ports() {
    let mut place = place();
    place.config.passive_ports = Some(vec![5000, 5001]);
    let mut session = place.login();
    let taken = session.listen(SocketAddr::from(([127, 0, 0, 1], 5000)));
    for _ in 0..5 {
        assert_eq!(session.command("PASV").port(), Some(5001));
    }
    let _taken = (
        taken,
        session.listen(SocketAddr::from(([127, 0, 0, 1], 6000))),
    );
    assert_eq!(session.command("ABOR").code(), 225);
    let _other = session.listen(SocketAddr::from(([127, 0, 0, 1], 5001)));
    assert!(session.command("PASV").port() > Some(5001));
}

/// 64 KiB may be on their way, as with a socket.
#[test]
fn back_pressure() {
    let mut place = place();
    place.config.dtp.timeout = Some(10 * SECOND);
    let bytes = pattern(1_000_000);
    place.write("a", &bytes);
    let mut session = place.login();
    session.command("TYPE I");
    let mut data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    let sent = |session: &mut Session<StockHandler>| {
        session.with(|_, s| s.data_channel().unwrap().tot_bytes_sent())
    };
    assert_eq!(sent(&mut session), 65_536);
    session.advance(9 * SECOND);
    assert!(data.read_to_end() == bytes);
    assert_eq!(reply(&mut session), "226 Transfer complete.");
    // A client that does not read at all is not waited for.
    let _data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    session.advance(10 * SECOND);
    assert_eq!(reply(&mut session), "421 Data connection timed out.");
    assert!(session.is_closed());
}

#[test]
fn transfers_that_are_cut() {
    let place = place();
    place.write("big", &pattern(1_000_000));
    let (mut session, events) = place.reporting();
    session.command("TYPE I");
    // It is cut by ABOR.
    let mut data = session.passive();
    assert_eq!(session.command("RETR big").code(), 125);
    assert_eq!(session.command("ABOR"), "426 Transfer aborted via ABOR.");
    assert_eq!(reply(&mut session), "226 ABOR command successful.");
    assert_eq!(data.read_to_end().len(), 65_536);
    // It is cut by the client.
    let mut data = session.active();
    assert_eq!(session.command("RETR big").code(), 125);
    data.close();
    assert_eq!(session.reply().unwrap().code(), 426);
    let mut data = session.passive();
    assert_eq!(session.command("STOR cut").code(), 125);
    data.write(b"abc");
    data.reset();
    assert_eq!(session.reply().unwrap().code(), 426);
    assert_eq!(events.try_iter().last().unwrap(), "incomplete cut");
    // It is cut by the end of the session.
    let mut data = session.passive();
    assert_eq!(session.command("STOR cut").code(), 125);
    data.write(b"abc");
    session.close();
    // What the client has sent may still be on its way.
    session.advance(2 * SECOND);
    assert_eq!(data.write(b"more"), 4);
    session.advance(2 * SECOND);
    assert!(events.try_recv().is_err());
    session.advance(SECOND);
    assert_eq!(
        events.try_iter().collect::<Vec<_>>(),
        ["incomplete cut", "disconnect"]
    );
    assert_eq!(data.write(b"more"), 0);
    assert_eq!(place.read("cut"), b"abcmore");
}

/// A client that has closed its control connection may finish its upload, but not go on forever.
#[test]
fn upload_of_a_client_that_has_gone_is_bounded() {
    let place = place();
    let (mut session, events) = place.reporting();
    session.command("TYPE I");
    let mut data = session.passive();
    assert_eq!(session.command("STOR long").code(), 125);
    events.try_iter().for_each(drop);
    session.close();
    for _ in 0..59 {
        assert_eq!(data.write(b"x"), 1);
        session.advance(SECOND);
    }
    assert!(events.try_recv().is_err());
    session.advance(SECOND);
    assert_eq!(
        events.try_iter().collect::<Vec<_>>(),
        ["incomplete long", "disconnect"]
    );
    assert_eq!(place.read("long").len(), 59);
}

/// Only the clock counts.
#[test]
fn throttled() {
    let mut place = place();
    place.config.set_dtp_handler(|| {
        let limited = ThrottledDTPHandler::new().read_limit(8192);
        limited.write_limit(16_384)
    });
    let bytes = pattern(10 * 8192);
    let mut session = place.login();
    assert_eq!(session.stor("a", &bytes).code(), 226);
    assert_eq!(session.elapsed(), 10 * SECOND);
    // The data of the first second is free, and the last second is not full.
    assert!(session.retr("a").unwrap() == bytes);
    assert_eq!(session.elapsed(), 14 * SECOND);
    // When the test moves the clock by hand, the transfer goes on with it.
    let mut data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    assert_eq!(data.read().len(), 2 * 16_384);
    session.advance(SECOND);
    assert!(data.read().is_empty());
    session.advance(SECOND);
    assert_eq!(data.read().len(), 2 * 16_384);
    let elapsed = session.with(|_, s| s.data_channel().unwrap().get_elapsed_time());
    assert_eq!(elapsed, 2 * SECOND);
    session.advance(2 * SECOND);
    assert_eq!(data.read_to_end().len(), 16_384);
}

/// A command of a user's handler that uses a data connection.
#[test]
fn data_of_one_s_own() {
    struct Own;
    impl FTPHandler for Own {
        fn ftp_nlst(&mut self, s: &mut FTPSession, _path: &Path) {
            let bytes = ftpdlib::handlers::Outgoing::Bytes(b"my own\r\n".to_vec());
            commands::push_dtp_data(s, bytes, "NLST");
        }
    }
    let mut session = Session::new(place().config, Own).unwrap();
    session.login("user", "12345");
    assert_eq!(session.list("NLST").unwrap(), "my own\r\n");
}

/// The client's side of TLS on a control connection in memory.
struct Secure {
    session: Session<StockHandler>,
    tls: ClientConnection,
}

impl Secure {
    fn exchange(&mut self) {
        while self.tls.wants_write() {
            let mut bytes = Vec::new();
            self.tls.write_tls(&mut bytes).unwrap();
            self.session.send(&bytes);
        }
        let received = self.session.receive();
        let mut rest = received.as_slice();
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest).unwrap();
            self.tls.process_new_packets().unwrap();
        }
    }

    fn command(&mut self, line: &str) -> String {
        write!(self.tls.writer(), "{line}\r\n").unwrap();
        self.exchange();
        let mut reply = [0; 1024];
        let size = self.tls.reader().read(&mut reply).unwrap();
        String::from_utf8(reply[..size].to_vec()).unwrap()
    }
}

#[test]
fn tls() {
    let pair = Pair::new(&["localhost"]);
    let mut place = place();
    let tls = TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der());
    place.config.tls = Some(tls.unwrap());
    let mut session = place.connect();
    assert_eq!(session.command("AUTH TLS"), "234 AUTH TLS successful.");
    let name = "localhost".try_into().unwrap();
    let tls = ClientConnection::new(testkit::authority::client(None).into(), name).unwrap();
    let mut client = Secure { session, tls };
    while client.tls.is_handshaking() {
        client.exchange();
    }
    assert_eq!(client.command("PBSZ 0"), "200 PBSZ=0 successful.\r\n");
    assert_eq!(
        client.command("USER user"),
        "331 Username ok, send password.\r\n"
    );
    assert!(client.command("PASS 12345").starts_with("230 "));
    assert!(
        client
            .session
            .with(|_, s| s.is_secure() && s.authenticated())
    );
    client.session.advance(5 * MINUTE);
    client.exchange();
    let mut last = Vec::new();
    let read = client.tls.reader().read_to_end(&mut last);
    assert!(last.starts_with(b"421 "), "{read:?}");
    assert!(client.session.is_closed());
}
