//! A limit on the size of files (RLIMIT_FSIZE) fails an upload, and not the server.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::net::Shutdown;

use testkit::{Mode, Program, Way, begin, read_whole, store};

/// The path of the program.
const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

#[test]
fn an_upload_over_the_limit_fails_alone() {
    for args in [&[][..], &["--disable-sendfile"]] {
        // In units of 512 bytes.
        let program = Program::start_after("ulimit -f 200", FTPDLIB, Mode::Clear, args);
        let mut client = program.login();
        for (way, kind) in [(Way::Early, "I"), (Way::Active, "A"), (Way::Late, "I")] {
            client.expect(200, format!("TYPE {kind}"));
            let (mut data, _) = begin(&mut client, way, "STOR big");
            data.write_all(&vec![b'x'; 4 << 20]).unwrap();
            data.shutdown(Shutdown::Write).unwrap();
            let reply = client.expect_reply(426);
            assert_eq!(reply, "426 File too large; transfer aborted.");
            assert_eq!(read_whole(&mut data), b"");
            assert!(std::fs::metadata(program.path("big")).unwrap().len() <= 102_400);
        }
        let path = program.path("big");
        let line = format!("{}: 426 File too large", path.display());
        program.expect_log(&line);
        store(&mut client, Way::Early, "STOR small", b"small");
        assert_eq!(std::fs::read(program.path("small")).unwrap(), b"small");
    }
}
