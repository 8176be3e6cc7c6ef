//! Makes a server step by step: what it listens on, and where it serves.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::handle::{self, ServerHandle};
use super::listen::{Bound, LISTENERS_MAX, Listen};
use super::model::{ModelAndStart, in_processes, in_threads, on_loop};
use super::server::{FTPServer, acceptor, check, wrong};
use super::spawners::{MultiprocessFTPServer, ThreadedFTPServer};
use crate::handlers::{FTPConfig, FTPHandler};
use crate::ioloop::clock::Clock;
use crate::tls::TlsAcceptor;

/// A server that is being made: [`FTPServer::builder`].
///
/// Each method that listens adds a socket, which is bound at once. All sockets are served by one
/// loop, with the same limits and settings, except for what a [`Listen`] says.
///
/// ```
/// use ftpdlib::handlers::StockHandler;
/// use ftpdlib::{FTPConfig, FTPServer};
///
/// # fn main() -> std::io::Result<()> {
/// let server = FTPServer::builder(FTPConfig::default(), |_peer| StockHandler)
///     .bind("127.0.0.1:0")?
///     .spawn()?;
/// println!("{}", server.addresses()[0]);
/// server.stop();
/// server.join()?;
/// # Ok(())
/// # }
/// ```
pub struct ServerBuilder<F> {
    config: FTPConfig,
    factory: F,
    model: fn(F) -> ModelAndStart,
    bound: Vec<Bound>,
    addresses: Vec<SocketAddr>,
    /// Is read before the first socket is bound; `None` before that.
    tls: Option<Option<Arc<TlsAcceptor>>>,
    set_up: Option<SetUp>,
}

/// A function that changes a server before it serves.
type SetUp = Box<dyn FnOnce(&mut FTPServer) -> io::Result<()> + Send>;

impl<F> ServerBuilder<F> {
    pub(super) fn new(config: FTPConfig, factory: F, model: fn(F) -> ModelAndStart) -> Self {
        Self {
            config,
            factory,
            model,
            bound: Vec::new(),
            addresses: Vec::new(),
            tls: None,
            set_up: None,
        }
    }

    /// Listens on an address: see [`Listen::bind`].
    ///
    /// # Errors
    /// The address is wrong or in use, and those of [`listen`](Self::listen).
    pub fn bind(self, addresses: impl ToSocketAddrs) -> io::Result<Self> {
        self.listen(Listen::bind(addresses)?)
    }

    /// Listens on a socket that listens already.
    ///
    /// # Errors
    /// Errors of the system, and those of [`listen`](Self::listen).
    pub fn listener(self, listener: StdListener) -> io::Result<Self> {
        self.listen(Listen::from_listener(listener))
    }

    /// Listens on a descriptor: see [`Listen::from_descriptor`]. For the number of one that was
    /// inherited, see [`Listen::inherited`].
    ///
    /// # Errors
    /// It is not a TCP socket that listens, and those of [`listen`](Self::listen).
    pub fn descriptor(self, descriptor: OwnedFd) -> io::Result<Self> {
        self.listen(Listen::from_descriptor(descriptor)?)
    }

    /// Listens as a [`Listen`] says, which has its own TLS mode and masquerade address.
    ///
    /// # Errors
    /// The address is in use, there are 64 listeners already, or the listener has TLS and the
    /// settings have none, or the other way round. If TLS cannot be set up, the kind is
    /// `InvalidInput`, and the error has a [`TlsError`](crate::TlsError) inside: the first listener
    /// finds this out, before its socket is bound.
    pub fn listen(mut self, listen: Listen) -> io::Result<Self> {
        if self.bound.len() >= LISTENERS_MAX {
            let text = format!("a server can listen on at most {LISTENERS_MAX} sockets");
            return Err(wrong(&text));
        }
        // An error of TLS is found before anybody can connect.
        if self.tls.is_none() {
            self.tls = Some(acceptor(&self.config, Clock::SYSTEM)?);
        }
        check(&listen, &self.config)?;
        let bound = listen.open()?;
        self.addresses.push(bound.address);
        self.bound.push(bound);
        Ok(self)
    }

    /// The addresses of the sockets, in the order in which they were added.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Lets `set_up` change the server before it serves: its limits, or other channels on its
    /// [loop](FTPServer::ioloop). With [`spawn`](Self::spawn) it runs on the thread of the server.
    /// Of several functions the last one counts.
    #[must_use]
    pub fn set_up(
        mut self,
        set_up: impl FnOnce(&mut FTPServer) -> io::Result<()> + Send + 'static,
    ) -> Self {
        self.set_up = Some(Box::new(set_up));
        self
    }

    /// Makes the server, to be served by this thread:
    /// [`serve_forever`](FTPServer::serve_forever), [`turn`](FTPServer::turn).
    ///
    /// # Errors
    /// There is no listener; the error of `set_up`; errors of the system.
    pub fn build(self) -> io::Result<FTPServer> {
        let model = (self.model)(self.factory);
        let mut server = FTPServer::with_model(self.bound, self.tls.flatten(), self.config, model)?;
        if let Some(set_up) = self.set_up {
            set_up(&mut server)?;
        }
        Ok(server)
    }

    /// Serves on a new thread, until the handle says otherwise. When this returns, the server is
    /// set up: clients that connect are served.
    ///
    /// The server handles no signals, since these belong to the host. It forks nothing, because a
    /// process with threads cannot be forked: [workers](FTPServer::set_worker_processes) and
    /// [`MultiprocessFTPServer`](crate::MultiprocessFTPServer) are errors here.
    ///
    /// # Errors
    /// Those of [`build`](Self::build). The system has no thread left, or the server forks.
    pub fn spawn(self) -> io::Result<ServerHandle>
    where
        F: Send + 'static,
    {
        let addresses = self.addresses.clone();
        handle::spawn(addresses, move || self.build())
    }
}

impl<F> fmt::Debug for ServerBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Writes the function that begins a builder. `$model` makes the model and what starts its sessions
/// from a factory.
macro_rules! builds {
    ($server:ident, $model:path, $call:ident $(+ $bound:ident)*) => {
        impl $server {
            /// Begins a server that listens on several sockets, on sockets that others have
            /// made, or that serves on a thread of its own. `factory` makes the handler of each
            /// session from the address of its client.
            pub fn builder<H, F>(config: FTPConfig, factory: F) -> ServerBuilder<F>
            where
                H: FTPHandler + 'static,
                F: $call(SocketAddr) -> H $(+ $bound)* + 'static,
            {
                ServerBuilder::new(config, factory, $model)
            }
        }
    };
}

builds!(FTPServer, on_loop, FnMut);
builds!(ThreadedFTPServer, in_threads, Fn + Send + Sync);
builds!(MultiprocessFTPServer, in_processes, Fn + Send);
