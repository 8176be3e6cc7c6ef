//! A fixture for tests of an FTP client: servers that a test starts, each with a home that is empty
//! for each test. `cargo run --example test_fixture [ADDRESS] [DIRECTORY]` runs a few such tests.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPConfig, FTPServer, ServerHandle};

/// A server with its home. It ends with the value; nothing of it is left then.
struct Fixture {
    server: ServerHandle,
    home: PathBuf,
}

impl Fixture {
    fn start(address: &str, home: PathBuf) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(&home)?;
        let authorizer = DummyAuthorizer::new();
        authorizer.add_user("user", "12345", &home, "elradfmwMT")?;
        let mut config = FTPConfig::default();
        config.set_authorizer(authorizer);
        // Port 0: tests that run at once do not disturb each other.
        let server = FTPServer::builder(config, |_peer| StockHandler)
            .bind(address)?
            .spawn()?;
        Ok(Self { server, home })
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Empties the home between two tests. Sessions go on, also if the home itself was removed.
    fn wipe(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.home)?;
        fs::create_dir(&self.home)
    }

    /// The names in the home.
    fn files(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.home)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let root = PathBuf::from(args.next().unwrap_or_else(|| ".".to_owned()));

    // Two servers at once, for a client that copies from one to the other.
    let first = Fixture::start(&address, root.join("first"))?;
    let second = Fixture::start(&address, root.join("second"))?;
    for test in ["alpha", "beta"] {
        let mut clients = [Client::login(&first)?, Client::login(&second)?];
        clients[0].command(&format!("MKD {test}"))?;
        clients[1].command("MKD other")?;
        assert_eq!(first.files()?, [test]);
        assert_eq!(second.files()?, ["other"]);
        first.wipe()?;
        second.wipe()?;
        // The session is still there, and the home is empty.
        clients[0].command("MKD again")?;
        first.wipe()?;
        log::info!(target: "ftpdlib", "test {test} has passed");
    }
    let addresses = [first.address(), second.address()];
    drop((first, second));
    for address in addresses {
        assert!(TcpStream::connect(address).is_err());
    }
    Ok(())
}

/// The client to be tested.
struct Client(BufReader<TcpStream>);

impl Client {
    fn login(server: &Fixture) -> io::Result<Self> {
        let mut client = Self(BufReader::new(TcpStream::connect(server.address())?));
        client.reply()?;
        client.command("USER user")?;
        client.command("PASS 12345")?;
        Ok(client)
    }

    fn command(&mut self, line: &str) -> io::Result<String> {
        self.0
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        match line.starts_with(['2', '3']) {
            true => Ok(line),
            false => Err(io::Error::other(line)),
        }
    }
}
