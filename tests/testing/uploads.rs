//! Uploads whose client has lost its connection: when another session takes them over.

use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::testing::{Server, Stream};

use super::place::place;
use super::server::{Client, server};

const HERE: &str = "10.0.0.2";
const ELSEWHERE: &str = "10.0.0.3";

const BUSY: &str = "450 Another upload to this file is in progress.";

/// Moves the clock, and stops at each deadline on the way.
fn advance(server: &Server, to: Duration) {
    while let Some(next) = server.next_deadline().filter(|next| *next <= to) {
        server.set_now(next);
        server.settle();
    }
    server.set_now(to);
    server.settle();
}

fn login<'a>(server: &'a Server, ip: &'static str, user: &str) -> Client<'a> {
    let client = Client::new(server, ip);
    client.receive();
    client.command(&format!("USER {user}"));
    let reply = client.command("PASS 12345");
    assert!(reply.starts_with("230 "), "{reply}");
    client
}

/// Begins an upload, and sends its first byte.
fn upload<'a>(server: &'a Server, command: &str) -> (Client<'a>, Stream) {
    let client = Client::login(server, HERE);
    let data = client.passive();
    let reply = client.command(command);
    assert!(reply.starts_with("125 "), "{reply}");
    data.write(b"x").unwrap();
    server.settle();
    (client, data)
}

/// The time is the default of the settings.
#[test]
fn silent_uploads_are_taken_over_after_ten_seconds() {
    let mut place = place();
    let users = DummyAuthorizer::new();
    for user in ["user", "other"] {
        let added = users.add_user(user, "12345", place.home.path(), "elradfmwMT");
        added.unwrap();
    }
    place.config.set_authorizer(users);
    let server = server(place.config.clone(), 1);
    let at = |milliseconds| advance(&server, Duration::from_millis(milliseconds));
    let (stor, _stor_data) = upload(&server, "STOR stor");
    let (appe, _appe_data) = upload(&server, "APPE appe");
    let pending = Client::login(&server, HERE);
    pending.command("PASV");
    let reply = pending.command("STOR pending");
    assert!(reply.starts_with("150 "), "{reply}");
    let (slow, slow_data) = upload(&server, "STOR slow");
    let again = Client::login(&server, HERE);
    let holders = [("stor", stor), ("appe", appe), ("pending", pending)];
    let refused = |client: &Client<'_>| {
        for (name, _) in &holders {
            assert_eq!(client.command(&format!("STOR {name}")), BUSY);
        }
    };
    at(5_000);
    slow_data.write(b"x").unwrap();
    at(9_999);
    refused(&again);
    at(10_000);
    refused(&login(&server, HERE, "other"));
    refused(&login(&server, ELSEWHERE, "user"));
    let mut now = 10_000;
    for (name, holder) in &holders {
        // The session that has the file looks every 250 ms whether it should end.
        again.send(&format!("STOR {name}"));
        now += 400;
        at(now);
        let reply = holder.receive();
        assert!(reply.starts_with("426 Transfer aborted;"), "{reply}");
        let reply = again.receive();
        assert!(reply.starts_with("150 "), "{name}: {reply}");
        let aborted = again.command("ABOR");
        assert!(aborted.starts_with("426 "), "{aborted}");
    }
    // One that is slow is not silent.
    for seconds in [14, 23, 32] {
        at(seconds * 1_000);
        assert_eq!(again.command("STOR slow"), BUSY);
        slow_data.write(b"x").unwrap();
    }
    drop(slow_data);
    assert_eq!(slow.receive(), "226 Transfer complete.");
    assert_eq!(place.read("slow"), b"xxxxx");
}
