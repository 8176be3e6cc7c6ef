//! A server in a thread of the test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::ioloop::Remote;
use ftpdlib::{FTPConfig, FTPHandler, FTPServer};
use tempfile::TempDir;

use crate::{Client, DEADLINE, Mode, PASSWORD, USER, log, tls};

/// A server that serves a new directory, on a port that the system chooses. It ends when
/// it is dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The directory that it serves.
    pub home: TempDir,
    mode: Mode,
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server with the stock handler and the [configuration](config()) of the tests.
    pub fn start(mode: Mode) -> Self {
        Self::with(mode, |_| {})
    }

    /// Starts a server with the configuration of the tests after `change`.
    pub fn with(mode: Mode, change: impl FnOnce(&mut FTPConfig) + Send + 'static) -> Self {
        Self::build(mode, "127.0.0.1", change, |_| {}, |_| StockHandler)
    }

    /// Starts a server whose handlers `factory` makes.
    pub fn with_handler<H, F>(
        mode: Mode,
        change: impl FnOnce(&mut FTPConfig) + Send + 'static,
        factory: F,
    ) -> Self
    where
        H: FTPHandler + 'static,
        F: FnMut(SocketAddr) -> H + Send + 'static,
    {
        Self::build(mode, "127.0.0.1", change, |_| {}, factory)
    }

    /// Starts a server on `host`; `set_up` gets the server before it runs.
    pub fn build<H, F>(
        mode: Mode,
        host: &str,
        change: impl FnOnce(&mut FTPConfig) + Send + 'static,
        set_up: impl FnOnce(&mut FTPServer) + Send + 'static,
        factory: F,
    ) -> Self
    where
        H: FTPHandler + 'static,
        F: FnMut(SocketAddr) -> H + Send + 'static,
    {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().to_owned();
        let host = host.to_owned();
        let (started, start) = mpsc::channel();
        let lines = log::kept();
        let thread = std::thread::spawn(move || {
            log::hand_on(lines);
            let mut config = config(mode, &root);
            change(&mut config);
            let mut server = FTPServer::bind_with(&host, 0, 100, config, factory).unwrap();
            set_up(&mut server);
            let remote = server.ioloop().remote();
            started.send((server.address(), remote)).unwrap();
            server.ioloop().run().unwrap();
            server.close_all();
        });
        let (address, remote) = start.recv_timeout(DEADLINE).unwrap();
        Self {
            address,
            home,
            mode,
            remote,
            thread: Some(thread),
        }
    }

    /// The path of a file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file in its directory.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Reads a file in its directory.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Connects a client that has not read the greeting.
    pub fn client(&self) -> Client {
        Client::connect_in(self.mode, self.connect_address())
    }

    /// Connects a client that has read the greeting.
    pub fn connect(&self) -> Client {
        let mut client = self.client();
        assert_eq!(client.reply().0, 220);
        client
    }

    /// Connects a client that is logged in with all permissions, in TYPE I.
    pub fn login(&self) -> Client {
        let mut client = self.connect();
        client.login(USER, PASSWORD);
        client.expect(200, "TYPE I");
        client
    }

    /// Runs `work` on the server's loop, which does nothing else meanwhile.
    pub fn busy(&self, work: impl FnOnce() + Send + 'static) {
        let (started, start) = mpsc::channel();
        self.remote.call(move |_io| {
            started.send(()).unwrap();
            work();
        });
        start.recv_timeout(DEADLINE).unwrap();
    }

    /// The address to connect to. It differs from [`address`](Self::address) where the
    /// server listens on all addresses.
    fn connect_address(&self) -> SocketAddr {
        match self.address.ip() {
            ip if ip.is_unspecified() => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.address.port())
            }
            ip => SocketAddr::new(ip, self.address.port()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.remote.call(|io| io.stop());
        let result = self.thread.take().unwrap().join();
        if result.is_err() && !std::thread::panicking() {
            panic!("the server panicked");
        }
    }
}

/// The configuration of the tests: all permissions for [`USER`], read permissions for
/// anonymous, no delay after a wrong password, and FTPS if the mode is secure.
pub fn config(mode: Mode, home: &Path) -> FTPConfig {
    let authorizer = DummyAuthorizer::new();
    authorizer
        .add_user(USER, PASSWORD, home, "elradfmwMT")
        .unwrap();
    authorizer.add_anonymous(home).unwrap();
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.auth_failed_timeout = Duration::from_millis(1);
    config.tls = mode.is_secure().then(tls::server_config);
    config
}
