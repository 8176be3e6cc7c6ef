//! Sockets that do not block, with their options set before they are used.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::ports::some_ports;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// Opens a listening socket. At most `backlog` connections wait to be accepted. With
/// `reuse` (`SO_REUSEADDR`) the port may have old connections in TIME_WAIT. A socket at an
/// IPv6 address accepts IPv4 connections too.
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

/// Opens a listening socket as [`listen`] does, on a port of the system's range that nothing else
/// uses. Returns the port, too.
pub(crate) fn listen_anywhere(
    mut address: SocketAddr,
    backlog: i32,
) -> io::Result<(TcpListener, u16)> {
    let socket = new(address)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    for port in some_ports() {
        address.set_port(port);
        if socket.bind(&SockAddr::from(address)).is_ok() {
            socket.listen(backlog)?;
            return Ok((socket.into(), port));
        }
    }
    address.set_port(0);
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog)?;
    let listener = TcpListener::from(socket);
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Takes a descriptor as a TCP socket that listens, if it is one.
pub(crate) fn listening(descriptor: OwnedFd) -> io::Result<TcpListener> {
    let wrong = |why: &str| {
        let text = format!("the descriptor is not a listening TCP socket: {why}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let socket = Socket::from(descriptor);
    let kind = socket.r#type().map_err(|err| wrong(&err.to_string()))?;
    if kind != Type::STREAM || socket.local_addr()?.as_socket().is_none() {
        return Err(wrong("it is of another kind"));
    }
    if !is_listener(&socket)? {
        return Err(wrong("it does not listen"));
    }
    socket.set_cloexec(true)?;
    Ok(socket.into())
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn is_listener(socket: &Socket) -> io::Result<bool> {
    socket.is_listener()
}

/// Always true: here accept(2) finds out.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
#[allow(clippy::unnecessary_wraps, reason = "as on other systems")]
fn is_listener(_socket: &Socket) -> io::Result<bool> {
    Ok(true)
}

/// Takes the descriptor that this process has inherited with this number.
///
/// One that the process has opened itself is closed at exec(2): std, mio and all else in Rust sets
/// that flag, and so does this function. So a descriptor without the flag came through exec(2), and
/// nothing here owns it.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    let wrong = |why: &str| {
        let text = format!("no descriptor {number} was inherited: {why}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    // Another thread must not take it too.
    static TAKING: Mutex<()> = Mutex::new(());
    let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: this operation takes no pointer, and changes nothing.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags == -1 {
        return Err(wrong(&io::Error::last_os_error().to_string()));
    }
    if number <= libc::STDERR_FILENO || flags & libc::FD_CLOEXEC != 0 {
        return Err(wrong("it belongs to this process"));
    }
    // SAFETY: this operation takes no pointer, and the descriptor is open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and nothing owns it: it had no close-on-exec flag, which
    // everything sets that owns a descriptor here, and which is set now.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The descriptor that a value owns.
pub(crate) fn borrow(owner: &impl AsRawFd) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is that of `owner`, which is borrowed as long as the result lives, so
    // that it stays open. It is -1 for no type that this is called with.
    unsafe { BorrowedFd::borrow_raw(owner.as_raw_fd()) }
}

/// Waits until one of these descriptors is readable, or has failed, for at most `timeout` (`None`:
/// without limit). A signal ends the wait too.
///
/// # Errors
/// Those of poll(2).
pub(crate) fn wait_readable(
    descriptors: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<()> {
    let wanted = descriptors.iter().map(|descriptor| libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let mut wanted: Vec<_> = wanted.collect();
    // `Duration::as_millis` truncates, so round up.
    let timeout = timeout.map(|timeout| timeout.as_nanos().div_ceil(1_000_000));
    let timeout = timeout.map_or(-1, |timeout| timeout.try_into().unwrap_or(libc::c_int::MAX));
    let count = libc::nfds_t::try_from(wanted.len()).unwrap_or(libc::nfds_t::MAX);
    // SAFETY: the pointer is to as many structures as the count says.
    match unsafe { libc::poll(wanted.as_mut_ptr(), count, timeout) } {
        -1 => match io::Error::last_os_error() {
            err if err.kind() == io::ErrorKind::Interrupted => Ok(()),
            err => Err(err),
        },
        _ => Ok(()),
    }
}

/// Lets other sockets listen on the port of this listening socket (`SO_REUSEPORT`). The
/// kernel then spreads new connections over all of them, which only Linux does.
#[cfg(target_os = "linux")]
pub(crate) fn share_port(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_reuse_port(true)
}

/// Always fails with `Unsupported`: this system would not spread the connections.
#[cfg(not(target_os = "linux"))]
pub(crate) fn share_port(_socket: &impl AsFd) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Opens a socket that listens on the same port as one that [`share_port`] was called for.
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

/// Begins to connect to `address`, from the local address `source` if there is one. The
/// socket becomes writable when the connection is made or has failed.
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

/// Whether a write to the socket would succeed or fail at once, instead of blocking. If
/// not, the poll reports an event when it would. Asking first avoids a `sendfile` that reads
/// the file and then sends nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn has_room(socket: &impl AsRawFd) -> bool {
    let mut wanted = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: the pointer is to one valid structure, as the count says, and the time-out of
    // 0 makes the call return at once.
    let ready = unsafe { libc::poll(&raw mut wanted, 1, 0) };
    ready != 0
}

/// Always true: here the write itself finds out.
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

/// Sets the options of a control connection. Urgent data, which clients send before ABOR,
/// is read in line with other data (`SO_OOBINLINE`). With `no_delay` (`TCP_NODELAY`) a reply
/// is sent without waiting for the acknowledgement of the one before.
///
/// On Linux an accepted socket inherits both from its listener, which saves two system calls
/// for each connection: see [`INHERITS_OPTIONS`].
pub(crate) fn control_options(socket: &impl AsFd, no_delay: bool) {
    let socket = SockRef::from(socket);
    // A connection works without either of them, so errors are ignored.
    let _ = socket.set_out_of_band_inline(true);
    if no_delay {
        let _ = socket.set_tcp_nodelay(true);
    }
}

/// Lets the system keep about so many bytes that the peer has not acknowledged (`SO_SNDBUF`).
pub(crate) fn limit_send_buffer(socket: &impl AsFd, bytes: usize) {
    // A connection works without it.
    let _ = SockRef::from(socket).set_send_buffer_size(bytes);
}

/// Whether accepted sockets inherit the options of their listener.
pub(crate) const INHERITS_OPTIONS: bool = cfg!(any(target_os = "linux", target_os = "android"));
