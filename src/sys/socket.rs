//! Sockets that do not block, with the options set before they are used.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// A listening socket. `reuse` lets it take a port whose last connections still
/// linger; an IPv6 one takes IPv4 connections too.
pub(crate) fn listen(address: SocketAddr, backlog: i32, reuse: bool) -> io::Result<TcpListener> {
    let socket = new(address)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if reuse {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Lets others listen on the port of a listening socket too, so that the kernel
/// spreads connections over all of them. Only Linux does that.
#[cfg(target_os = "linux")]
pub(crate) fn share_port(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_reuse_port(true)
}

/// Elsewhere there is one socket for all.
#[cfg(not(target_os = "linux"))]
pub(crate) fn share_port(_socket: &impl AsFd) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Another socket that listens on the port of one with [`share_port`].
pub(crate) fn listen_beside(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = new(address)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    share_port(&socket)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// A socket that begins to connect, from an address of our own if one is given.
pub(crate) fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = new(address)?;
    if let Some(source) = source {
        socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    }
    match socket.connect(&SockAddr::from(address)) {
        Err(err) if err.raw_os_error() != Some(libc::EINPROGRESS) => Err(err),
        _ => Ok(socket.into()),
    }
}

/// Whether a socket takes bytes now, or has an error to tell. If not, the poll brings an
/// event when it does. It spares a `sendfile` that is refused after it has read its file.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn has_room(socket: &impl AsRawFd) -> bool {
    let mut wanted = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one structure, which outlives a call that does not wait.
    let ready = unsafe { libc::poll(&raw mut wanted, 1, 0) };
    ready != 0
}

/// Elsewhere the refusal has to tell.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn has_room(_socket: &impl AsRawFd) -> bool {
    true
}

fn new(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let socket = {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket
    };
    Ok(socket)
}

/// What control connections want: urgent data among the rest, as clients send
/// it before ABOR, and replies that do not wait for each other.
///
/// On Linux they inherit these from the listener, which saves two system calls
/// for each: see [`INHERITS_OPTIONS`].
pub(crate) fn control_options(socket: &impl AsFd, no_delay: bool) {
    let socket = SockRef::from(socket);
    // A connection works without either.
    let _ = socket.set_out_of_band_inline(true);
    if no_delay {
        let _ = socket.set_tcp_nodelay(true);
    }
}

/// Whether accepted sockets have the options of their listener.
pub(crate) const INHERITS_OPTIONS: bool = cfg!(any(target_os = "linux", target_os = "android"));
