//! A client with many connections does not keep the others away.

use ftpdlib::testing::{Server, Stream};

use super::place::{Place, place};
use super::server::{Client, at, read, server};
use super::{MINUTE, SECOND};

const MAKES_ROOM: &str = "421 Too many connections. This one is closed to make room for others.";
const FULL: &str = "421 Too many connections. Service temporarily unavailable.";

const CROWD: &str = "10.0.0.9";

/// A server, whose settings are the default ones, and whose directory has a file.
fn crowded() -> Server {
    let place: Place = place();
    place.write("file", b"abc");
    let home = place.home.keep();
    let mut config = place.config;
    config.set_authorizer({
        let users = ftpdlib::authorizers::DummyAuthorizer::new();
        users
            .add_user("user", "12345", &home, "elradfmwMT")
            .unwrap();
        users.add_anonymous(&home).unwrap();
        users
    });
    server(config, 1)
}

/// Connects this many clients from one address, and lets each send a line.
fn crowd<'a>(server: &'a Server, count: usize, lines: &[&str]) -> Vec<Client<'a>> {
    let connect = |_| {
        let client = Client::new(server, CROWD);
        server.settle();
        if !client.stream.is_closed() {
            for line in lines {
                client.command(line);
            }
        }
        client
    };
    (0..count).map(connect).collect()
}

/// Fifty clients come one after the other, log in and transfer a file.
fn serves_others(server: &Server) {
    for _ in 0..50 {
        let client = Client::login(server, "10.0.0.2");
        assert_eq!(client.download("RETR file"), "abc");
        assert_eq!(client.command("QUIT"), "221 Goodbye.");
    }
}

#[test]
fn idle_connections_of_one_address() {
    let server = crowded();
    let clients = crowd(&server, 5000, &[]);
    let served = clients.iter().filter(|client| !client.stream.is_closed());
    // The last eighth of the slots is not for them.
    assert_eq!(served.count(), 512 - 64 - 1);
    assert_eq!(clients.last().unwrap().receive(), FULL);
    serves_others(&server);
    // The oldest has left for the first of the others, and no other one was needed.
    let greeting = clients[0].receive();
    assert!(greeting.ends_with(MAKES_ROOM), "{greeting}");
    assert!(clients[0].stream.is_closed() && !clients[1].stream.is_closed());
}

#[test]
fn connections_that_send_commands() {
    let server = crowded();
    let clients = crowd(&server, 600, &["NOOP"]);
    serves_others(&server);
    drop(clients);
}

#[test]
fn logins_of_one_address() {
    let server = crowded();
    let clients = crowd(&server, 600, &["USER anonymous", "PASS x", "PASV"]);
    serves_others(&server);
    drop(clients);
}

#[test]
fn connections_that_come_again() {
    let server = crowded();
    let mut clients = crowd(&server, 600, &[]);
    for _ in 0..50 {
        server.set_now(server.now() + SECOND);
        clients = crowd(&server, clients.len(), &[]);
        let client = Client::login(&server, "10.0.0.2");
        assert_eq!(client.download("RETR file"), "abc");
    }
}

/// A transfer is not idle, and its session is not the longest idle afterwards.
#[test]
fn a_transfer_is_not_cut() {
    let server = crowded();
    let first = Client::login(&server, CROWD);
    let data = first.passive();
    first.send("STOR new");
    server.settle();
    let clients = crowd(&server, 450, &["USER anonymous", "PASS x"]);
    let others: Vec<_> = (0..10)
        .map(|_| Client::login(&server, "10.0.0.2"))
        .collect();
    assert!(!first.stream.is_closed());
    assert_eq!(data.write(b"abc").unwrap(), 3);
    data.shutdown();
    assert!(first.receive().ends_with("226 Transfer complete."));
    drop((clients, others));
}

/// Each session promises a transfer, for which no connection ever comes.
#[test]
fn transfers_without_data_connections() {
    for lines in [
        &["USER anonymous", "PASS x", "RETR file"][..],
        &["USER anonymous", "PASS x", "PASV", "RETR file"],
    ] {
        let server = crowded();
        let clients = crowd(&server, 600, lines);
        serves_others(&server);
        drop(clients);
    }
}

/// Clients of the crowd, each with an upload in progress: as many as are admitted.
fn uploads(server: &Server) -> Vec<(Client<'_>, Stream)> {
    let mut clients = Vec::new();
    for number in 0..300 {
        let client = Client::new(server, CROWD);
        if !client.receive().starts_with("220 ") {
            break;
        }
        client.command("USER user");
        client.command("PASS 12345");
        let data = client.passive();
        let begun = client.command(&format!("STOR {number}"));
        assert!(begun.starts_with("125 "), "{begun}");
        clients.push((client, data));
    }
    clients
}

/// A transfer that moves nothing for ten seconds is no reason to keep others away.
#[test]
fn transfers_that_nobody_reads() {
    let server = crowded();
    let clients = uploads(&server);
    let other = Client::new(&server, "10.0.0.2");
    assert_eq!(other.receive(), FULL, "their transfers go on");
    server.set_now(server.now() + 10 * SECOND);
    server.settle();
    serves_others(&server);
    drop(clients);
}

/// A byte now and then is next to nothing.
#[test]
fn transfers_that_hardly_move() {
    let server = crowded();
    let clients = uploads(&server);
    for _ in 0..4 {
        server.set_now(server.now() + 5 * SECOND);
        for (_, data) in &clients {
            let _ = data.write(b"x");
        }
        server.settle();
    }
    serves_others(&server);
    drop(clients);
}

/// The address with more than half of the slots pays, and not a user who logs in elsewhere.
#[test]
fn who_has_more_than_half_pays_first() {
    let mut server = crowded();
    server.set_max_cons(32);
    let office: Vec<_> = (0..9).map(|_| Client::login(&server, "10.0.0.3")).collect();
    let attackers = crowd(&server, 18, &["USER anonymous", "PASS x"]);
    let late = Client::new(&server, "10.0.0.3");
    assert!(late.receive().starts_with("220 "));
    late.command("USER user");
    let more = crowd(&server, 3, &[]);
    assert!(late.command("PASS 12345").starts_with("230 "));
    assert!(more.iter().all(|client| client.stream.is_closed()));
    assert!(attackers[0].stream.is_closed() && !attackers[1].stream.is_closed());
    assert!(office.iter().all(|client| !client.stream.is_closed()));
}

#[test]
fn a_few_connections_are_safe() {
    let mut server = crowded();
    server.set_max_cons(32);
    // 27 connections of four addresses.
    let addresses = ["10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4"];
    let clients = (0..27).map(|number| Client::new(&server, addresses[number % 4]));
    let clients: Vec<_> = clients.collect();
    server.settle();
    assert_eq!(Client::new(&server, "10.0.0.2").receive(), FULL);
    // One that has not logged in within five seconds makes room.
    server.set_now(server.now() + 5 * SECOND);
    drop(Client::login(&server, "10.0.0.2"));
    assert!(clients[0].receive().ends_with(MAKES_ROOM));
    assert!(!clients[1].stream.is_closed());
}

#[test]
fn few_slots_are_for_all() {
    let mut server = crowded();
    server.set_max_cons(31);
    let clients = crowd(&server, 31, &[]);
    assert!(
        clients[..30]
            .iter()
            .all(|client| !client.stream.is_closed())
    );
    assert_eq!(clients[30].receive(), FULL);
    server.set_now(server.now() + MINUTE);
    assert_eq!(Client::new(&server, "10.0.0.2").receive(), FULL);
}

/// An IPv6 client may have all addresses of its network.
#[test]
fn addresses_of_a_network_are_one_client() {
    let place = place();
    for (bits, is_one) in [(64, true), (128, false)] {
        let address = at("[2001:db8::1]:21");
        let config = place.config.clone();
        let factory = |_| ftpdlib::handlers::StockHandler;
        let mut server = Server::new(config, address, 1, factory).unwrap();
        server.set_ipv6_prefix(bits);
        let connect = |ip: String| {
            let from = at(&format!("[{ip}]:0"));
            let stream = server.connect(from, server.address()).unwrap();
            server.settle();
            stream
        };
        let clients: Vec<_> = (0..500)
            .map(|n| connect(format!("2001:db8:1:1::{n:x}")))
            .collect();
        let other = connect("2001:db8:2::1".to_owned());
        let text = String::from_utf8(read(&other)).unwrap();
        assert_eq!(text.starts_with("220"), is_one, "{text}");
        assert_eq!(clients[0].is_closed(), is_one);
    }
}
