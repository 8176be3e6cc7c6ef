//! Urgent data (the Telnet Synch of RFC 959) where it does not belong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;

use socket2::SockRef;
use testkit::Server;

use crate::MODE;

#[test]
fn urgent_data_does_not_cut_an_upload() {
    for use_sendfile in [true, false] {
        let server = Server::with(MODE, move |config| config.use_sendfile = use_sendfile);
        let mut client = server.login();
        let mut data = client.pasv();
        assert!(matches!(client.command("STOR file").0, 125 | 150));
        data.write_all(&[b'a'; 1000]).unwrap();
        let sent = SockRef::from(&data).send_out_of_band(b"!");
        assert_eq!(sent.unwrap(), 1);
        // More than the buffers hold, so that the server must read it on the way.
        data.write_all(&vec![b'b'; 8_000_000]).unwrap();
        drop(data);
        client.expect_reply(226);
        let stored = server.read("file");
        assert_eq!(stored.len(), 8_001_000, "use_sendfile: {use_sendfile}");
        assert_eq!(stored.iter().filter(|byte| **byte == b'a').count(), 1000);
    }
}
