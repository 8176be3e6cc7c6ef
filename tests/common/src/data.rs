//! Data connections: where they go, and whether they are under TLS.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use rustls::ClientConfig;
use socket2::SockRef;

use crate::DEADLINE;
use crate::socket::{Socket, Tls, set_deadlines};

/// Returns the address in a reply to PASV.
pub fn parse_227(reply: &str) -> SocketAddr {
    let inner = reply.split(['(', ')']).nth(1).unwrap();
    let parts: Vec<u16> = inner.split(',').map(|part| part.parse().unwrap()).collect();
    let octet = |index: usize| u8::try_from(parts[index]).unwrap();
    let ip = Ipv4Addr::new(octet(0), octet(1), octet(2), octet(3));
    SocketAddr::from((ip, parts[4] * 256 + parts[5]))
}

/// Returns the port in a reply to EPSV.
pub fn parse_229(reply: &str) -> u16 {
    reply.split('|').nth(3).unwrap().parse().unwrap()
}

/// Returns the command PORT for this port of 127.0.0.1.
pub fn port_command(port: u16) -> String {
    format!("PORT 127,0,0,1,{},{}", port / 256, port % 256)
}

/// Returns a listener for PORT, and the command.
pub fn port_listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let command = port_command(listener.local_addr().unwrap().port());
    (listener, command)
}

/// A listener whose queue is full, so that connecting to it takes long.
pub struct FullListener {
    /// The listener: accepting makes room again.
    pub listener: TcpListener,
    /// Its address.
    pub address: SocketAddr,
    _queue: Vec<socket2::Socket>,
}

impl FullListener {
    /// Fills the queue of a new listener.
    pub fn new() -> Self {
        let socket = tcp_socket();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let listener: TcpListener = socket.into();
        let address = listener.local_addr().unwrap();
        let connecting = || {
            let socket = tcp_socket();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        };
        Self {
            listener,
            address,
            _queue: std::iter::repeat_with(connecting).take(4).collect(),
        }
    }
}

impl Default for FullListener {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a data connection. It is under TLS if the client that was given the port has asked
/// for that.
pub fn connect_data(address: SocketAddr) -> Socket {
    let socket = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    data_socket(socket, address.port())
}

/// Makes a data connection from another address of this machine.
pub fn connect_data_from(source: &str, address: SocketAddr) -> Socket {
    data_socket(bound_to(source, address), address.port())
}

/// Accepts a data connection. It is under TLS if the client that has sent the port of this
/// listener has asked for that.
pub fn accept_data(listener: &TcpListener) -> Socket {
    // It holds for accepting, too.
    let deadline = SockRef::from(listener).set_read_timeout(Some(DEADLINE));
    deadline.unwrap();
    let (socket, _) = listener.accept().unwrap();
    data_socket(socket, listener.local_addr().unwrap().port())
}

/// Turns a connection to or from this port of a client into a data connection.
pub fn data_socket(socket: TcpStream, port: u16) -> Socket {
    set_deadlines(&socket);
    // Bytes that follow the end of a handshake must not wait for its acknowledgement.
    socket.set_nodelay(true).unwrap();
    let mut socket = Socket::new(socket);
    if let Some(port) = DataPort::find(port) {
        port.secure(&mut socket);
    }
    socket
}

/// Connects from another address of this machine.
pub fn bound_to(source: &str, address: SocketAddr) -> TcpStream {
    let source: IpAddr = source.parse().unwrap();
    let socket = tcp_socket();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect_timeout(&address.into(), DEADLINE).unwrap();
    socket.into()
}

fn tcp_socket() -> socket2::Socket {
    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap()
}

/// A port where a client expects a data connection under TLS. The function that makes the
/// connection finds the configuration of the client here.
pub(crate) struct DataPort {
    config: Arc<ClientConfig>,
    state: Mutex<PortState>,
}

#[derive(Default)]
struct PortState {
    /// Whether a reply has said that the transfer begins.
    begun: bool,
    connection: (Weak<TcpStream>, Weak<Tls>),
}

static PORTS: LazyLock<Mutex<HashMap<u16, Arc<DataPort>>>> = LazyLock::new(Mutex::default);

impl DataPort {
    /// Puts the next connection to this port under TLS.
    pub(crate) fn open(port: u16, config: &Arc<ClientConfig>) -> Arc<Self> {
        let opened = Arc::new(Self {
            config: Arc::clone(config),
            state: Mutex::default(),
        });
        let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        ports.insert(port, Arc::clone(&opened));
        opened
    }

    /// Leaves the next connection to this port in clear.
    pub(crate) fn forget(port: u16) {
        let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        ports.remove(&port);
    }

    fn find(port: u16) -> Option<Arc<Self>> {
        let ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        ports.get(&port).cloned()
    }

    /// Puts a new connection under TLS. The handshake comes when the transfer begins, as
    /// with most clients, or with the first use of the connection.
    fn secure(&self, socket: &mut Socket) {
        socket.secure(Arc::clone(&self.config));
        let mut state = self.state.lock().unwrap();
        state.connection = socket.downgrade();
        if std::mem::take(&mut state.begun) {
            // If it fails, the next use of the connection fails.
            let _ = socket.handshake();
        }
    }

    /// Notes that the transfer begins.
    pub(crate) fn begin(&self) {
        let mut state = self.state.lock().unwrap();
        let (tcp, tls) = &state.connection;
        match (tcp.upgrade(), tls.upgrade()) {
            (Some(tcp), Some(tls)) => drop(tls.handshake(&tcp)),
            _ => state.begun = true,
        }
    }
}
