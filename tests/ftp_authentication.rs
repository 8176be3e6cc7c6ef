//! USER, PASS and REIN: as pyftpdlib's `TestFtpAuthentication`.

mod common;

use common::{PASSWORD, Server, USER};

#[test]
fn auth_ok() {
    Server::start().connect().login(USER, PASSWORD);
}

#[test]
fn auth_failed() {
    let server = Server::start();
    for (user, password) in [(USER, "wrong"), ("wrong", PASSWORD), ("wrong", "wrong")] {
        let mut client = server.connect();
        client.expect(331, format!("USER {user}"));
        let reply = client.expect(530, format!("PASS {password}"));
        assert_eq!(reply, "530 Authentication failed.");
    }
}
