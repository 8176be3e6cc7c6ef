//! What a server listens on, and how its clients are served there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::os::fd::{OwnedFd, RawFd};

use mio::net::TcpListener;

use crate::handlers::{ListenTls, ListenerSettings};
use crate::ioloop::{bind_af_unspecified, bind_first};
use crate::sys;

/// One of the sockets that a server listens on: where it is, and how its clients are served. See
/// [`ServerBuilder::listen`](crate::ServerBuilder::listen).
///
/// ```
/// use ftpdlib::{Listen, ListenTls};
///
/// # fn main() -> std::io::Result<()> {
/// let listen = Listen::bind("[::]:990")?
///     .tls(ListenTls::Implicit)
///     .masquerade_address([203, 0, 113, 7].into());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listen {
    on: On,
    pub(super) settings: ListenerSettings,
    masquerade_name: Option<String>,
    backlog: i32,
}

#[derive(Debug)]
enum On {
    /// `""` stands for all addresses.
    Host(String, u16),
    /// The first of these that works.
    Addresses(Vec<SocketAddr>),
    Socket(StdListener),
}

impl Listen {
    /// Listens on the first of these addresses that works: `"192.0.2.1:21"`, `("localhost", 0)`.
    /// With port 0 the system chooses one. `"[::]:21"` stands for all addresses, IPv6 and IPv4.
    /// Host names are looked up now; the socket is bound when a builder gets the value.
    ///
    /// # Errors
    /// The address is wrong, or the name has none.
    pub fn bind(addresses: impl ToSocketAddrs) -> io::Result<Self> {
        let addresses: Vec<_> = addresses.to_socket_addrs()?.collect();
        Ok(Self::new(On::Addresses(addresses)))
    }

    /// Listens on `host` (`""` for all addresses) and `port` (0: the system chooses one): as
    /// pyftpdlib's `bind_af_unspecified`.
    #[must_use]
    pub fn host(host: &str, port: u16) -> Self {
        Self::new(On::Host(host.to_owned(), port))
    }

    /// Serves on a socket that listens already.
    #[must_use]
    pub fn from_listener(listener: StdListener) -> Self {
        Self::new(On::Socket(listener))
    }

    /// Serves on a descriptor of a TCP socket that listens already.
    ///
    /// # Errors
    /// It is another socket, or none.
    pub fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        sys::listening(descriptor).map(Self::from_listener)
    }

    /// Serves on a descriptor that this process has inherited with this number, such as 3 from a
    /// service manager (`LISTEN_FDS`). Takes the descriptor: a second call with the number fails.
    ///
    /// # Errors
    /// There is no such descriptor, this process has opened it itself, or it is not a TCP socket
    /// that listens.
    pub fn inherited(number: RawFd) -> io::Result<Self> {
        sys::inherited(number).and_then(Self::from_descriptor)
    }

    /// The address of `host:port` as text (`[::]:2121`; `:2121` for all addresses).
    pub(super) fn parse(address: &str) -> io::Result<Self> {
        let parts = address.rsplit_once(':');
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let Some((host, port)) = parts else {
            let text = format!("{address:?} is not host:port, such as 127.0.0.1:2121 or [::]:2121");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        Ok(Self::host(host, port))
    }

    fn new(on: On) -> Self {
        Self {
            on,
            settings: ListenerSettings::default(),
            masquerade_name: None,
            backlog: BACKLOG,
        }
    }

    /// Sets whether clients that connect here use TLS. Default: as
    /// [`FTPConfig::tls`](crate::FTPConfig::tls) says. The certificates are those of the settings.
    #[must_use]
    pub fn tls(mut self, tls: ListenTls) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// Sets the address in replies to PASV for clients that connect here, instead of
    /// [`FTPConfig::masquerade_address`](crate::FTPConfig::masquerade_address). An entry of
    /// [`masquerade_address_map`](crate::FTPConfig::masquerade_address_map) wins over both.
    #[must_use]
    pub fn masquerade_address(mut self, address: Ipv4Addr) -> Self {
        self.settings.masquerade_address = Some(address);
        self
    }

    /// Puts the address of this host name into replies to PASV for clients that connect here:
    /// asked for at the start and every 30 seconds. Until the first answer it is
    /// [`masquerade_address`](Self::masquerade_address).
    #[must_use]
    pub fn masquerade_name(mut self, name: &str) -> Self {
        self.masquerade_name = Some(name.to_owned());
        self
    }

    /// Sets how many connections may wait to be accepted. Default: 1024. A socket that listens
    /// already keeps its own number.
    #[must_use]
    pub fn backlog(mut self, backlog: i32) -> Self {
        self.backlog = backlog;
        self
    }

    /// Binds the socket.
    pub(super) fn open(self) -> io::Result<Bound> {
        let socket = match self.on {
            On::Host(host, port) => bind_af_unspecified(&host, port, self.backlog)?,
            On::Addresses(addresses) => bind_first(addresses, self.backlog)?,
            On::Socket(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            }
        };
        Ok(Bound {
            address: socket.local_addr()?,
            socket,
            settings: self.settings,
            masquerade_name: self.masquerade_name,
            backlog: self.backlog,
        })
    }
}

/// A socket that listens, and has no server yet.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) socket: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) settings: ListenerSettings,
    pub(super) masquerade_name: Option<String>,
    pub(super) backlog: i32,
}

/// How many connections may wait to be accepted by default. pyftpdlib's 100 are fewer than a crowd
/// of connections fills in a moment: then the system drops those of other clients, which try again
/// a second later.
pub(super) const BACKLOG: i32 = 1024;

/// How many sockets a server may listen on. Each is a source of one channel, which has at most 256.
pub(super) const LISTENERS_MAX: usize = 64;
