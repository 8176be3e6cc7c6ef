//! A server as its clients see it, from its start on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::client::Client;
use super::tls::Tls;

/// A running server: its process, and what clients need to log in.
pub struct Endpoint {
    pub name: &'static str,
    pub user: &'static str,
    pub address: SocketAddr,
    /// With it, the clients use AUTH TLS and PROT P.
    pub tls: Option<Arc<Tls>>,
    /// The process that was started.
    pub child: Child,
}

impl Endpoint {
    /// Starts the server by the command that `command` makes for an address, and waits until
    /// it listens there.
    pub fn start(
        name: &'static str,
        user: &'static str,
        tls: Option<Arc<Tls>>,
        command: impl FnOnce(SocketAddr, Option<&Tls>) -> Command,
    ) -> io::Result<Self> {
        let address = free_address()?;
        let child = command(address, tls.as_deref())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut endpoint = Self {
            name,
            user,
            address,
            tls,
            child,
        };
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "{name} does not start");
            let ended = endpoint.child.try_wait()?;
            assert!(ended.is_none(), "{name} ended");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(endpoint)
    }

    /// Waits until the server has used no CPU time for a while and `at_rest` is true, so that
    /// all its work is in the figures.
    pub fn settle(&self, cpu: impl Fn() -> Duration, at_rest: impl Fn() -> bool) {
        let end = Instant::now() + DEADLINE;
        let mut last = cpu();
        loop {
            thread::sleep(Duration::from_millis(20));
            let now = cpu();
            if now == last && at_rest() {
                return;
            }
            assert!(Instant::now() < end, "{} does not come to rest", self.name);
            last = now;
        }
    }

    /// Connects a client, which uses AUTH TLS if the server has TLS.
    pub fn connect(&self) -> Client {
        let client = Client::connect(self.address);
        match &self.tls {
            Some(tls) => client.auth(tls),
            None => client,
        }
    }

    /// Connects a client that is logged in.
    pub fn enter(&self) -> Client {
        let mut client = self.connect();
        client.login_as(self.user);
        client
    }

    /// Connects a client that is logged in, in TYPE I and PROT P.
    pub fn session(&self) -> Client {
        let mut client = self.enter();
        client.command("TYPE I", 200);
        if self.tls.is_some() {
            client.command("PBSZ 0", 200);
            client.command("PROT P", 200);
        }
        client
    }

    /// Returns the handshakes so far, if the server has TLS.
    pub fn handshakes(&self) -> Option<String> {
        self.tls.as_ref().map(|tls| tls.handshakes())
    }
}

/// Returns an address that is free now, and very likely still is when the server starts.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
