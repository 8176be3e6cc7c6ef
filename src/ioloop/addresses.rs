//! Sockets by the name of a host: the first of its addresses that works is taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use mio::net::{TcpListener, TcpStream};

use crate::sys;

/// Binds and listens on the first address of `host` that works, IPv6 or IPv4: as pyftpdlib's
/// `bind_af_unspecified`.
///
/// `""` stands for all addresses: dual stack where the system has IPv6, else IPv4. `"::"` is dual
/// stack too. At most `backlog` connections wait to be accepted.
///
/// # Errors
/// The error of the last address tried, or of looking up the name.
pub fn bind_af_unspecified(host: &str, port: u16, backlog: i32) -> io::Result<TcpListener> {
    let listen = |address| sys::listen(address, backlog, true).map(TcpListener::from_std);
    if host.is_empty() {
        let any: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
        return first_that_works(any.map(|ip| SocketAddr::new(ip, port)), listen);
    }
    first_that_works(resolve(host, port)?, listen)
}

/// Binds and listens on the first of these addresses that works.
pub(crate) fn bind_first(addresses: Vec<SocketAddr>, backlog: i32) -> io::Result<TcpListener> {
    let listen = |address| sys::listen(address, backlog, true).map(TcpListener::from_std);
    first_that_works(addresses, listen)
}

/// Begins to connect to the first address of `host` that works, from the address `source` if one
/// is given: as pyftpdlib's `connect_af_unspecified`.
///
/// An event reports when the connection is made.
///
/// # Errors
/// The error of the last address tried, or of looking up the name.
pub fn connect_af_unspecified(
    host: &str,
    port: u16,
    source: Option<IpAddr>,
) -> io::Result<TcpStream> {
    let connect = |address| sys::connect(address, source).map(TcpStream::from_std);
    first_that_works(resolve(host, port)?, connect)
}

/// The addresses of a name, or of an address in its usual spelling or in brackets.
fn resolve(host: &str, port: u16) -> io::Result<impl Iterator<Item = SocketAddr>> {
    (host.trim_matches(['[', ']']), port).to_socket_addrs()
}

fn first_that_works<T>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for result in addresses.into_iter().map(attempt) {
        match result {
            Ok(socket) => return Ok(socket),
            Err(err) => error = err,
        }
    }
    Err(error)
}
