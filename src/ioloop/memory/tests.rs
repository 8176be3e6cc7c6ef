//! Sockets, and the events that a loop gets of them.

use std::io::ErrorKind;
use std::net::SocketAddr;

use mio::{Interest, Token};

use super::{MemoryStream, Network};
use crate::ioloop::clock::Clock;
use crate::ioloop::event::Readiness;
use crate::random::Random;

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

fn network() -> Network {
    Network::new(Clock::SYSTEM, None)
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn pair(network: &Network) -> (MemoryStream, MemoryStream) {
    network.pair(at(1), at(2))
}

fn watch(stream: &MemoryStream, token: usize, interest: Interest) {
    stream.watch(Some((Token(token), interest)));
}

#[test]
fn writes_are_counted() {
    let network = network();
    let ((test, server), (other, far)) = (pair(&network), network.pair(at(3), at(4)));
    server.write(b"one").unwrap();
    far.write(b"two").unwrap();
    server.write(b"three").unwrap();
    let read = |stream: &MemoryStream, size: usize| {
        let mut buffer = vec![0; size];
        let (size, number) = stream.read_write(&mut buffer).unwrap();
        (String::from_utf8(buffer[..size].to_vec()).unwrap(), number)
    };
    assert_eq!(read(&test, 2), ("on".to_owned(), 1));
    assert_eq!(read(&test, 9), ("e".to_owned(), 1));
    assert_eq!(read(&test, 9), ("three".to_owned(), 3));
    assert_eq!(read(&other, 9), ("two".to_owned(), 2));
    server.shutdown();
    assert_eq!(read(&test, 9).0, "");
    // A plain read takes what several have brought.
    far.write(b"a").unwrap();
    far.write(b"b").unwrap();
    far.write(b"c").unwrap();
    assert_eq!(self::read(&other, 2), Ok(b"ab".to_vec()));
    assert_eq!(read(&other, 9), ("c".to_owned(), 6));
}

/// The tokens of the sockets with events, and their events.
fn events(network: &Network) -> Vec<(usize, Readiness)> {
    let events = network.take_events().into_iter();
    events.map(|(token, event)| (token.0, event)).collect()
}

fn read(stream: &MemoryStream, size: usize) -> Result<Vec<u8>, ErrorKind> {
    let mut buffer = vec![0; size];
    let read = stream.read(&mut buffer).map_err(|err| err.kind())?;
    buffer.truncate(read);
    Ok(buffer)
}

#[test]
fn a_change_is_reported_once() {
    let network = network();
    let (client, server) = pair(&network);
    watch(&server, 7, BOTH);
    let room = Readiness {
        writable: true,
        ..Readiness::default()
    };
    assert_eq!(events(&network), [(7, room)]);
    assert!(!network.has_events());
    // Bytes, in one event.
    client.write(b"ab").unwrap();
    client.write(b"c").unwrap();
    let bytes = Readiness {
        readable: true,
        ..room
    };
    assert_eq!(events(&network), [(7, bytes)]);
    assert_eq!(events(&network), []);
    assert_eq!(read(&server, 2).unwrap(), b"ab");
    // Nobody waits for room at the other end, which is not watched.
    assert!(!network.has_events());
    assert_eq!(read(&server, 9).unwrap(), b"c");
    assert_eq!(read(&server, 9), Err(ErrorKind::WouldBlock));
    server.watch(None);
    client.shutdown();
    assert!(!network.has_events());
    assert_eq!(read(&server, 9).unwrap(), b"");
}

#[test]
fn events_come_in_the_order_of_the_changes() {
    let network = network();
    let pairs: Vec<_> = (0..4).map(|_| pair(&network)).collect();
    for (token, (_, server)) in pairs.iter().enumerate() {
        watch(server, token, Interest::READABLE);
    }
    for number in [2, 0, 3, 2, 1] {
        pairs[number].0.write(b"x").unwrap();
    }
    let order: Vec<_> = events(&network).iter().map(|event| event.0).collect();
    assert_eq!(order, [2, 0, 3, 1]);
}

#[test]
fn buffers_are_bounded() {
    let network = network();
    let (client, server) = pair(&network);
    watch(&server, 1, Interest::WRITABLE);
    events(&network);
    client.set_capacity(5);
    events(&network);
    assert_eq!(server.write(b"abcdefgh").unwrap(), 5);
    let full = server.write(b"fgh").unwrap_err();
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert_eq!(events(&network), []);
    assert_eq!(read(&client, 2).unwrap(), b"ab");
    assert!(events(&network)[0].1.writable);
    // The bytes lie around the end of the ring now.
    assert_eq!(server.write(b"fgh").unwrap(), 2);
    assert_eq!(read(&client, 9).unwrap(), b"cdefg");
}

#[test]
fn a_read_stops_before_urgent_data() {
    let network = network();
    let (client, server) = pair(&network);
    watch(&server, 1, Interest::READABLE | Interest::PRIORITY);
    client.write(b"ab").unwrap();
    client.write_urgent(b"c!").unwrap();
    client.write(b"d").unwrap();
    assert!(events(&network)[0].1.urgent);
    assert_eq!(read(&server, 9).unwrap(), b"abc");
    assert_eq!(read(&server, 9).unwrap(), b"!d");
    client.write(b"e").unwrap();
    assert!(!events(&network)[0].1.urgent);
}

#[test]
fn a_close_with_unread_bytes_is_a_reset() {
    let network = network();
    for (unread, ends) in [
        (false, Ok(b"reply".to_vec())),
        (true, Err(ErrorKind::ConnectionReset)),
    ] {
        let (client, server) = pair(&network);
        server.write(b"reply").unwrap();
        if unread {
            client.write(b"more").unwrap();
        }
        drop(server);
        assert!(client.is_closed());
        assert_eq!(read(&client, 9), ends);
        assert!(client.write(b"x").is_err());
    }
}

#[test]
fn the_last_handle_closes() {
    let network = network();
    let (client, server) = pair(&network);
    let copy = server.duplicate();
    drop(server);
    assert!(!client.is_closed() && network.served() == 1);
    copy.write(b"x").unwrap();
    drop(copy);
    assert!(client.is_closed() && network.served() == 0);
    assert_eq!(read(&client, 9).unwrap(), b"x");
    assert_eq!(read(&client, 9).unwrap(), b"");
}

/// A key of a socket that has changed and was closed may belong to another one by now.
#[test]
fn an_event_reaches_no_other_socket() {
    let network = network();
    let (client, server) = pair(&network);
    watch(&server, 1, Interest::READABLE);
    client.write(b"x").unwrap();
    drop((client, server));
    let (client, server) = pair(&network);
    client.write(b"y").unwrap();
    watch(&server, 2, Interest::READABLE);
    let events = events(&network);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].0, 2);
}

#[test]
fn connections_wait_to_be_accepted() {
    let network = network();
    let listener = network.serve(at(21)).unwrap();
    listener.watch(Some((Token(3), Interest::READABLE)));
    assert_eq!(events(&network), []);
    let clients = [at(0), at(9)].map(|from| network.connect(from, at(21)).unwrap());
    assert_eq!(events(&network).len(), 1);
    assert_eq!(network.served(), 1, "they are not accepted yet");
    clients[0].write(b"early").unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, clients[0].local_addr());
    assert_eq!((server.local_addr(), network.served()), (at(21), 2));
    assert_eq!(read(&server, 9).unwrap(), b"early");
    drop(listener);
    assert_eq!(read(&clients[1], 9), Err(ErrorKind::ConnectionReset));
    let refused = network.connect(at(0), at(21)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// The server gets the refusal of a connection as an event, as from the system.
#[test]
fn a_refusal_comes_later() {
    let network = network();
    network.add_host(at(0).ip());
    let stream = network.reach(at(0), at(21)).unwrap();
    watch(&stream, 1, Interest::WRITABLE);
    let refused = Readiness {
        readable: true,
        writable: true,
        read_closed: true,
        write_closed: true,
        urgent: false,
    };
    assert_eq!(events(&network), [(1, refused)]);
    let err = stream.take_error().unwrap();
    assert_eq!(err.kind(), ErrorKind::ConnectionRefused);
    assert!(stream.peer_addr().is_err() && stream.is_closed());
    assert_eq!(read(&stream, 1), Err(ErrorKind::ConnectionRefused));
    // One that is not answered has not failed.
    let unanswered = network.reach(at(0), SocketAddr::from(([10, 0, 0, 9], 21)));
    let unanswered = unanswered.unwrap();
    assert!(unanswered.take_error().is_none() && !unanswered.is_closed());
}

#[test]
fn hosts_and_ports() {
    let network = network();
    let kind = |to| network.connect(at(5), to).map_err(|err| err.kind());
    // Without a host there is no answer; with one, there is a refusal.
    let stream = kind(at(21)).unwrap();
    assert_eq!(
        stream.write(b"x").unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    drop(stream);
    network.add_host(at(0).ip());
    assert_eq!(kind(at(21)).unwrap_err(), ErrorKind::ConnectionRefused);
    let any = network
        .listen(SocketAddr::from(([0, 0, 0, 0], 21)))
        .unwrap();
    assert!(kind(at(21)).is_ok());
    let taken = network.listen(any.local_addr()).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    // Ports follow each other, or are drawn.
    let ports = [(); 2].map(|()| network.listen(at(0)).unwrap().local_addr().port());
    assert_eq!(ports, [49_152, 49_153]);
    let drawn = |seed| {
        let network = Network::new(Clock::SYSTEM, Some(Random::seeded(seed)));
        let listeners: Vec<_> = (0..100).map(|_| network.listen(at(0)).unwrap()).collect();
        listeners
            .iter()
            .map(|x| x.local_addr().port())
            .collect::<Vec<_>>()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    assert!(drawn(1).iter().all(|port| *port >= 49_152));
}
