//! What USER, REIN and AUTH leave as it is, REST in TYPE A, OPTS UTF8, and the ends of lines.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};

use testkit::{Client, PASSWORD, Server, USER, WAYS, fetch, wait_for};

use super::{URGENT, skipped_over_tls};

use crate::MODE;

fn log_in_again(client: &mut Client) {
    client.expect(331, format!("USER {USER}"));
    client.expect(230, format!("PASS {PASSWORD}"));
}

/// RFC 959 §4.1.1: "All transfer parameters are unchanged".
#[test]
fn user_leaves_the_parameters() {
    let server = Server::start(MODE);
    server.write("a", "a\nb");
    let mut client = server.login();
    client.expect(200, "OPTS MLST size;");
    client.expect(200, "MODE S");
    client.expect(200, "STRU F");
    client.expect(350, "REST 1");
    client.expect(350, "RNFR a");
    client.expect(220, "EPSV ALL");
    for _ in 0..2 {
        log_in_again(&mut client);
        assert!(client.expect(211, "STAT").contains("TYPE: Binary"));
        assert!(client.expect(250, "MLST a").contains("\r\n size=3; "));
        client.expect(501, "PASV");
        // These belong to the next command only.
        client.expect(503, "RNTO b");
        let mut data = client.epsv();
        client.begin("RETR a");
        assert_eq!(testkit::read_whole(&mut data), b"a\nb");
        client.expect_reply(226);
    }
    // A refused password changes nothing of that.
    client.expect(331, format!("USER {USER}"));
    client.expect(530, "PASS wrong");
    log_in_again(&mut client);
    assert!(client.expect(211, "STAT").contains("TYPE: Binary"));
    client.expect(501, "PASV");
}

#[test]
fn rein_resets_the_parameters() {
    let server = Server::start(MODE);
    server.write("a", "a\nb");
    let mut client = server.login();
    client.expect(200, "OPTS MLST size;");
    client.expect(350, "REST 1");
    client.expect(350, "RNFR a");
    client.expect(220, "EPSV ALL");
    client.expect(230, "REIN");
    client.login(USER, PASSWORD);
    client.expect(503, "RNTO b");
    assert!(client.expect(211, "STAT").contains("TYPE: ASCII"));
    assert!(client.expect(250, "MLST a").contains("type=file;"));
    assert!(
        client
            .expect(211, "FEAT")
            .contains("MLST type*;perm*;size*")
    );
    for way in WAYS {
        assert_eq!(fetch(&mut client, way, "RETR a"), b"a\r\nb");
    }
    client.expect(200, "TYPE I");
}

/// Neither USER nor REIN gives a client more guesses.
#[test]
fn failed_logins_count_on() {
    for between in ["USER x", "REIN"] {
        let server = Server::with(MODE, |config| config.max_login_attempts = 3);
        let mut client = server.connect();
        for _ in 0..2 {
            client.expect(331, format!("USER {USER}"));
            client.expect(530, "PASS wrong");
            client.command(between);
        }
        client.expect(331, format!("USER {USER}"));
        let reply = client.expect(530, "PASS wrong");
        assert!(reply.ends_with("Disconnecting."), "{reply}");
        client.expect_eof();
    }
}

/// Devices send REST 0 without TYPE.
#[test]
fn rest_0_in_type_a() {
    let server = Server::start(MODE);
    server.write("a", "a\nb");
    let mut client = server.login();
    client.expect(200, "TYPE A");
    for zero in ["0", "00", "-0", "+0"] {
        let reply = client.expect(350, format!("REST {zero}"));
        assert_eq!(reply, "350 Restarting at position 0.");
        assert_eq!(client.download("RETR a"), b"a\r\nb");
    }
    client.expect(350, "REST 0");
    client.upload("STOR b", "x\r\ny");
    assert_eq!(server.read("b"), b"x\ny");
    client.expect(350, "REST 0");
    client.upload("APPE b", "z");
    assert_eq!(server.read("b"), b"x\nyz");
    for bad in ["1", "10", "x", "-1", "", "0x0", "99999999999999999999"] {
        client.expect(501, format!("REST {bad}"));
    }
    // It takes back what REST has given in TYPE I.
    client.expect(200, "TYPE I");
    client.expect(350, "REST 2");
    client.expect(200, "TYPE A");
    client.expect(350, "REST 0");
    assert_eq!(client.download("RETR a"), b"a\r\nb");
}

#[test]
fn opts_utf8_tells_the_truth() {
    use ftpdlib::proto::encoding::Encoding;

    let server = Server::start(MODE);
    let mut client = server.connect();
    for arg in ["UTF8 ON", "utf8 on", "UTF8", "UTF-8 ON", "UTF8 NLST"] {
        client.expect(200, format!("OPTS {arg}"));
    }
    let server = Server::with(MODE, |config| {
        config.encoding = Encoding::by_name("latin-1").unwrap();
    });
    let mut client = server.connect();
    for arg in ["UTF8 ON", "utf8 on", "UTF8", "UTF-8 ON", "UTF8 NLST"] {
        client.expect(501, format!("OPTS {arg}"));
    }
    client.expect(200, "OPTS UTF8 OFF");
    client.login(USER, PASSWORD);
    client.expect(501, "OPTS UTF8 ON");
    assert!(!client.expect(211, "FEAT").contains("UTF8"));
}

// --- the ends of lines

#[test]
fn lines_may_end_with_lf_alone() {
    let server = Server::start(MODE);
    server.write("a", "abc");
    let mut client = server.connect();
    client.send(format!("USER {USER}\nPASS {PASSWORD}\n"));
    client.expect_reply(331);
    client.expect_reply(230);
    // Mixed, and in pieces.
    for part in [
        "PW",
        "D",
        "\nNOOP\r",
        "\nSYST\nTYPE I\r\n",
        "\n",
        "SIZE a\n",
    ] {
        client.send(part);
    }
    for code in [257, 200, 215, 200, 500, 213] {
        client.expect_reply(code);
    }
    let address = {
        client.send("PASV\n");
        testkit::parse_227(&client.expect_reply(227))
    };
    let mut data = testkit::connect_data(address);
    client.send("RETR a\n");
    client.reply();
    assert_eq!(testkit::read_whole(&mut data), b"abc");
    client.expect_reply(226);
    // A CR within a line is refused as before, and so is a second one at the end.
    for line in ["CWD a\rb\n", "MKD a\r\r\n", "MKD \rx\n", "DELE a\r\r\n"] {
        client.send(line);
        client.expect_reply(550);
    }
    client.send("NOOP\r\r\n");
    client.expect_reply(500);
    assert!(server.path("a").exists());
    client.send("QUIT\n");
    client.expect_reply(221);
    client.expect_eof();
}

#[test]
fn the_longest_line_with_either_end() {
    let server = Server::start(MODE);
    let mut client = server.login();
    for end in ["\n", "\r\n"] {
        for (size, known) in [(2048, true), (2049, false), (5000, false)] {
            client.send(format!("{}{end}", "x".repeat(size)));
            let reply = client.expect_reply(500);
            assert_eq!(reply.ends_with("not understood."), known, "{size}");
            assert_eq!(reply == "500 Command too long.", !known, "{size}");
        }
        // The rest of a line that is too long is no command.
        client.send(format!("{}\rNOOP{end}", "x".repeat(3000)));
        client.expect_reply(500);
        client.expect(200, "NOOP");
    }
}

#[test]
fn telnet_bytes_before_a_line_that_ends_with_lf() {
    if skipped_over_tls(URGENT) {
        return;
    }
    let server = Server::start(MODE);
    let mut client = server.login();
    client.send(b"\xff\xf4\xff\xf2ABOR\n");
    client.expect_reply(225);
    socket2::SockRef::from(&*client.socket)
        .send_out_of_band(b"\xf2")
        .unwrap();
    client.send("ABOR\n");
    client.expect_reply(225);
}

/// Commands that follow AUTH in clear run neither in clear nor under TLS.
#[test]
fn lf_injects_no_command_after_auth() {
    let server = testkit::serve(|_| {});
    server.write("a", "abc");
    for end in ["\n", "\r\n"] {
        let mut client = server.connect();
        client.send(format!("AUTH TLS{end}DELE a{end}NOOP{end}"));
        client.expect_reply(234);
        let _ = client.socket.write_all(b"\x16\x03\x01");
        let mut rest = Vec::new();
        let _ = client.socket.read_to_end(&mut rest);
        let text = String::from_utf8_lossy(&rest);
        assert!(!text.contains("200 "), "{text}");
        assert!(server.path("a").exists());
    }
}

#[test]
fn http_with_lf_is_turned_away() {
    if skipped_over_tls("a client that has sent AUTH is not a browser") {
        return;
    }
    let server = Server::start(MODE);
    server.write("a", "");
    let mut client = server.connect();
    client.send(format!(
        "POST / HTTP/1.1\nHost: x\n\nUSER {USER}\nPASS {PASSWORD}\nDELE a\n"
    ));
    client.expect_reply(500);
    client.expect_eof();
    wait_for("nothing", || server.path("a").exists());
}

// --- what a refused command leaves

/// A client that was refused sends the next file from its beginning.
#[test]
fn a_refused_transfer_takes_its_rest_with_it() {
    let server = Server::with(MODE, |config| {
        config.unicode_errors = ftpdlib::proto::encoding::UnicodeErrors::Strict;
    });
    std::fs::create_dir(server.path("d")).unwrap();
    let mut client = server.login();
    client.expect(200, "TYPE I");
    let long = format!("STOR {}", "x".repeat(3000));
    for (code, refused) in [
        (553, &b"STOR d/"[..]),
        (553, b"APPE d/"),
        (450, b"STOU d/"),
        (550, b"STOR a\0b"),
        (550, b"STOR d"),
        (550, b"STOR none/x"),
        (550, b"RETR d"),
        (550, b"RETR x/"),
        (550, b"RETR missing"),
        (501, b"STOR"),
        (501, b"RETR"),
        (501, b"APPE"),
        (450, b"APPE x"),
        (450, b"STOU"),
        (554, b"RETR short"),
        (501, b"STOR \xff"),
        (500, long.as_bytes()),
        // Not refused, but it leaves the type in which REST was given.
        (200, b"TYPE A"),
    ] {
        server.write("x", "OLDOLDOLD");
        server.write("short", "1");
        client.expect(350, "REST 3");
        client.expect(code, refused);
        client.expect(200, "TYPE I");
        client.upload("STOR x", "NEW");
        let what = String::from_utf8_lossy(refused);
        assert_eq!(server.read("x"), b"NEW", "{what}");
        assert_eq!(client.download("RETR x"), b"NEW", "{what}");
    }
    // Commands that are no transfers leave it.
    for between in [
        "NOOP",
        "STAT",
        "DELE missing",
        "PASV",
        "RMD missing",
        "TYPE I",
    ] {
        server.write("x", "OLDOLDOLD");
        client.expect(350, "REST 3");
        client.command(between);
        client.upload("STOR x", "NEW");
        assert_eq!(server.read("x"), b"OLDNEWOLD", "{between}");
    }
}

#[test]
fn a_refused_transfer_before_tls_takes_its_rest_with_it() {
    if !MODE.is_secure() {
        return;
    }
    let server = Server::with(MODE, |config| {
        config.tls.as_mut().unwrap().tls_data_required = true;
    });
    server.write("x", "OLDOLDOLD");
    let mut client = server.login();
    client.expect(200, "TYPE I");
    client.expect(350, "REST 3");
    client.expect(200, "PROT C");
    client.expect(521, "STOR x");
    client.expect(200, "PROT P");
    client.upload("STOR x", "NEW");
    assert_eq!(server.read("x"), b"NEW");
}
