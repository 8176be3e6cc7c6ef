//! A whole server in memory.

use std::net::SocketAddr;

use ftpdlib::FTPConfig;
use ftpdlib::handlers::StockHandler;
use ftpdlib::testing::{Server, Stream};

use super::place::place;

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn address() -> SocketAddr {
    at("10.0.0.1:21")
}

fn server(config: FTPConfig, seed: u64) -> Server {
    Server::new(config, address(), seed, |_| StockHandler).unwrap()
}

/// A client that reads whatever comes.
struct Client {
    stream: Stream,
    ip: &'static str,
    received: String,
}

impl Client {
    fn new(server: &Server, ip: &'static str) -> Self {
        let from = at(&format!("{ip}:0"));
        let stream = server.connect(from, server.address()).unwrap();
        let received = String::new();
        Self {
            stream,
            ip,
            received,
        }
    }

    fn send(&self, line: &str) {
        let line = format!("{line}\r\n");
        assert_eq!(self.stream.write(line.as_bytes()).unwrap(), line.len());
    }

    /// All that has come since the last call, without its last CRLF.
    fn receive(&mut self, server: &Server) -> String {
        server.settle();
        let bytes = read(&self.stream);
        self.received.push_str(std::str::from_utf8(&bytes).unwrap());
        let all = std::mem::take(&mut self.received);
        all.trim_end().to_owned()
    }

    fn command(&mut self, server: &Server, line: &str) -> String {
        self.send(line);
        self.receive(server)
    }

    fn login(&mut self, server: &Server) {
        let greeting = self.receive(server);
        assert!(greeting.starts_with("220 "), "{greeting}");
        self.command(server, "USER user");
        let reply = self.command(server, "PASS 12345");
        assert!(reply.starts_with("230 "), "{reply}");
    }

    /// Sends PASV and connects.
    fn passive(&mut self, server: &Server) -> Stream {
        let port = port(&self.command(server, "PASV"));
        let from = at(&format!("{}:0", self.ip));
        let data = server.connect(from, SocketAddr::new(address().ip(), port));
        data.unwrap()
    }
}

fn read(stream: &Stream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 100]);
    while let Ok(size @ 1..) = stream.read(&mut buffer) {
        all.extend(&buffer[..size]);
    }
    all
}

fn port(reply: &str) -> u16 {
    let numbers = reply.trim_end_matches(").").rsplit(',');
    let numbers: Vec<u16> = numbers.take(2).map(|x| x.parse().unwrap()).collect();
    numbers[1] * 256 + numbers[0]
}

#[test]
fn clients_of_one_server() {
    let place = place();
    let server = server(place.config, 1);
    let mut clients: Vec<_> = (0..50).map(|_| Client::new(&server, "10.0.0.2")).collect();
    assert_eq!((server.sessions(), server.open_sockets()), (0, 0));
    for client in &mut clients {
        client.login(&server);
    }
    assert_eq!((server.sessions(), server.open_sockets()), (50, 50));
    let uploads: Vec<_> = (clients.iter_mut().enumerate())
        .map(|(number, client)| {
            let data = client.passive(&server);
            let reply = client.command(&server, &format!("STOR {number}"));
            assert!(reply.starts_with("1"), "{reply}");
            data
        })
        .collect();
    assert_eq!(server.open_sockets(), 100);
    for (number, upload) in uploads.iter().enumerate() {
        upload
            .write(format!("bytes of {number}").as_bytes())
            .unwrap();
    }
    drop(uploads);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.receive(&server), "226 Transfer complete.");
        let path = place.home.path().join(number.to_string());
        assert_eq!(
            std::fs::read(path).unwrap(),
            format!("bytes of {number}").as_bytes()
        );
    }
    for client in &clients {
        client.send("QUIT");
    }
    server.settle();
    assert_eq!((server.sessions(), server.open_sockets()), (0, 0));
    assert_eq!(server.slots(), 0);
    assert_eq!((server.timers(), server.queued_bytes()), (0, 0));
}

/// A machine so slow that the time of a turn is over whenever somebody looks at the clock.
#[test]
fn each_turn_makes_progress_however_late_it_is() {
    let place = place();
    place.write("a", &vec![b'x'; 100_000]);
    for number in 0..100 {
        place.write(&format!("file-{number}"), b"");
    }
    let transfers = |tick: u64| {
        let server = server(place.config.clone(), 1);
        server.set_tick(std::time::Duration::from_millis(tick));
        let mut client = Client::new(&server, "10.0.0.2");
        client.login(&server);
        ["RETR a", "NLST", "STAT ."].map(|command| {
            let data = client.passive(&server);
            let mut replies = client.command(&server, command);
            let mut received = read(&data);
            while !data.is_closed() && command != "STAT ." {
                server.settle();
                received.extend(read(&data));
            }
            drop(data);
            replies = [replies, client.receive(&server)]
                .join("\n")
                .trim_end()
                .to_owned();
            assert!(replies.contains("226 Tr") || replies.ends_with("213 End of status."));
            (received, replies.lines().count())
        })
    };
    let [file, names, status] = transfers(10);
    assert_eq!(file.0.len(), 100_000);
    assert!(names.0.len() > 800);
    assert!(status.1 > 100);
    assert!([file, names, status] == transfers(0));
}
