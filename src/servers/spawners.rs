//! Servers for handlers that block: a thread or a process for each connection, with its
//! own loop. Sessions run on that loop as they do on the loop of a server.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::ops::{Deref, DerefMut};

use super::constructors::constructors;
use super::listen::Listen;
use super::model::{ModelAndStart, in_processes, in_threads};
use super::server::FTPServer;
use crate::handlers::{FTPConfig, FTPHandler};

/// A server with a thread for each connection: as pyftpdlib's `ThreadedFTPServer`.
///
/// Methods of the handler may block: that delays their own session only. The settings are
/// those of [`FTPServer`], to which this type dereferences.
#[derive(Debug)]
pub struct ThreadedFTPServer(FTPServer);

/// A server with a process for each connection: as pyftpdlib's
/// `MultiprocessFTPServer`.
///
/// The process that serves must have no other threads. Methods of the handler may block:
/// that delays their own session only. The settings are those of [`FTPServer`], to which
/// this type dereferences.
#[derive(Debug)]
pub struct MultiprocessFTPServer(FTPServer);

constructors!(ThreadedFTPServer, in_threads, Fn + Send + Sync);
constructors!(MultiprocessFTPServer, in_processes, Fn + Send);

macro_rules! wrapper {
    ($server:ident) => {
        impl $server {
            fn with_listen(
                listen: Listen,
                config: FTPConfig,
                model: ModelAndStart,
            ) -> io::Result<Self> {
                FTPServer::with_listen(listen, config, model).map(Self)
            }
        }

        impl From<$server> for FTPServer {
            fn from(server: $server) -> Self {
                server.0
            }
        }

        impl Deref for $server {
            type Target = FTPServer;

            fn deref(&self) -> &FTPServer {
                &self.0
            }
        }

        impl DerefMut for $server {
            fn deref_mut(&mut self) -> &mut FTPServer {
                &mut self.0
            }
        }
    };
}

wrapper!(ThreadedFTPServer);
wrapper!(MultiprocessFTPServer);

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpStream;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::handlers::StockHandler;
    use crate::servers::model::Model;

    #[test]
    fn without_a_process_new_connections_get_421() {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let config = FTPConfig::default();
        let server = MultiprocessFTPServer::from_listener(listener, config, |_| StockHandler);
        let mut server = server.unwrap().0;
        let Model::Processes(processes) = &mut server.model else {
            unreachable!()
        };
        processes.fork = || Err(io::ErrorKind::WouldBlock.into());
        let (address, remote) = (server.address(), server.ioloop().remote());
        let clients = thread::spawn(move || {
            for _ in 0..3 {
                let socket = TcpStream::connect(address).unwrap();
                socket.set_read_timeout(Some(DEADLINE)).unwrap();
                let mut lines = BufReader::new(socket).lines();
                let reply = lines.next().unwrap().unwrap();
                assert!(reply.starts_with("421 "), "{reply}");
                assert!(lines.next().is_none());
            }
            remote.call(|io| io.stop());
        });
        while !server.ioloop.is_stopped() && !clients.is_finished() {
            server.turn(Some(DEADLINE)).unwrap();
        }
        clients.join().unwrap();
        let Model::Processes(processes) = &server.model else {
            unreachable!()
        };
        assert!(processes.shortage.was_logged() && processes.is_empty());
    }

    const DEADLINE: Duration = Duration::from_secs(20);
}
