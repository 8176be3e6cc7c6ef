//! Transfers of a client.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use crate::{Client, Socket, connect_data, parse_227, wait_for};

/// How the data connection of a transfer is made, and the first reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With PASV, before the command: 125.
    Early,
    /// With PASV, after the reply to the command: 150.
    Late,
    /// With PORT: 125.
    Active,
}

/// Each [`Way`].
pub const WAYS: [Way; 3] = [Way::Early, Way::Late, Way::Active];

/// Sends a command and makes its data connection; returns the first reply, too.
#[track_caller]
pub fn begin(client: &mut Client, way: Way, command: &str) -> (Socket, String) {
    match way {
        Way::Early => {
            let data = client.pasv();
            await_data(client);
            (data, client.expect(125, command))
        }
        Way::Active => {
            let data = client.port();
            (data, client.expect(125, command))
        }
        Way::Late => {
            let reply = client.expect(227, "PASV");
            let first = client.expect(150, command);
            (connect_data(parse_227(&reply)), first)
        }
    }
}

/// Waits until the server has accepted the data connection of this client.
#[track_caller]
pub fn await_data(client: &mut Client) {
    wait_for("the data connection", || {
        client.expect(211, "STAT").contains("Data connection open:")
    });
}

/// Downloads with this command.
#[track_caller]
pub fn fetch(client: &mut Client, way: Way, command: &str) -> Vec<u8> {
    let (mut data, _) = begin(client, way, command);
    let bytes = read_whole(&mut data);
    let reply = client.expect_reply(226);
    assert_eq!(reply, "226 Transfer complete.");
    bytes
}

/// Uploads with this command; returns the first reply.
#[track_caller]
pub fn store(client: &mut Client, way: Way, command: &str, bytes: &[u8]) -> String {
    let (mut data, first) = begin(client, way, command);
    data.write_all(bytes).unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    let reply = client.expect_reply(226);
    assert_eq!(reply, "226 Transfer complete.");
    first
}

/// Reads to the end. A reset is an end, too, and so is a FIN without `close_notify`.
pub fn read_all(socket: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Err(err) if !is_end(&err) => panic!("data connection: {err}"),
        _ => bytes,
    }
}

/// Whether an error is an end of the connection for [`read_all`].
pub(crate) fn is_end(err: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(err.kind(), ConnectionReset | BrokenPipe | UnexpectedEof)
}

/// Reads to the end, which must be a proper one.
#[track_caller]
pub fn read_whole(socket: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Reads to the end, and returns the number of bytes.
pub fn drain(socket: &mut impl Read) -> u64 {
    io::copy(socket, &mut io::sink()).unwrap()
}
