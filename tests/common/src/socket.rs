//! A connection of a client, in clear or under TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::SockRef;

use crate::DEADLINE;

/// A connection that behaves as its [`TcpStream`]; it derefs to that for what TLS does not
/// change.
pub struct Socket {
    tcp: Arc<TcpStream>,
    tls: Option<Arc<Tls>>,
}

/// TLS of one connection. Different threads may read and write it.
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    /// Made with the first byte that is read or written.
    connection: Mutex<Option<ClientConnection>>,
    /// Received, but not looked at yet.
    incoming: Mutex<Vec<u8>>,
    /// Decrypted by a peek.
    peeked: Mutex<Vec<u8>>,
    /// Encrypted, but not taken by the system yet.
    outgoing: Mutex<Vec<u8>>,
    /// Whether nothing more is sent, not even `close_notify`.
    ended: Mutex<bool>,
}

impl Tls {
    fn new(config: Arc<ClientConfig>) -> Self {
        Self {
            config,
            connection: Mutex::default(),
            incoming: Mutex::default(),
            peeked: Mutex::default(),
            outgoing: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    fn connection(&self) -> MutexGuard<'_, Option<ClientConnection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Finishes the handshake.
    pub(crate) fn handshake(&self, mut tcp: &TcpStream) -> io::Result<()> {
        let mut connection = self.connection();
        let connection = connection.get_or_insert_with(|| {
            let name = ServerName::try_from("localhost").unwrap();
            ClientConnection::new(Arc::clone(&self.config), name).unwrap()
        });
        while connection.is_handshaking() {
            while connection.wants_write() {
                connection.write_tls(&mut tcp)?;
            }
            if !connection.is_handshaking() {
                break;
            }
            if connection.read_tls(&mut tcp)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let processed = connection.process_new_packets().map_err(failed);
            if processed.is_err() {
                // The alert tells the server why.
                let _ = connection.write_tls(&mut tcp);
            }
            processed?;
        }
        while connection.wants_write() {
            connection.write_tls(&mut tcp)?;
        }
        Ok(())
    }

    fn read(&self, mut tcp: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        self.handshake(tcp)?;
        let mut incoming = self.incoming.lock().unwrap();
        loop {
            if let Some(connection) = self.connection().as_mut() {
                match connection.reader().read(buffer) {
                    Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                    result => return result,
                }
            }
            if incoming.is_empty() {
                // Meanwhile the connection may be written to.
                let mut chunk = [0; 16_384];
                let size = tcp.read(&mut chunk)?;
                incoming.extend_from_slice(&chunk[..size]);
            }
            if let Some(connection) = self.connection().as_mut() {
                // It takes no more than it has room for. Nothing at all is the end.
                let size = connection.read_tls(&mut &incoming[..])?;
                incoming.drain(..size);
                connection.process_new_packets().map_err(failed)?;
            }
        }
    }

    fn write(&self, tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        self.handshake(tcp)?;
        let mut outgoing = self.outgoing.lock().unwrap();
        push(tcp, &mut outgoing)?;
        let size = self.encrypt(&mut outgoing, |connection| connection.writer().write(bytes))?;
        match push(tcp, &mut outgoing) {
            Err(err) if err.kind() != io::ErrorKind::WouldBlock => Err(err),
            _ => Ok(size),
        }
    }

    fn flush(&self, tcp: &TcpStream) -> io::Result<()> {
        push(tcp, &mut self.outgoing.lock().unwrap())
    }

    fn encrypt<T>(
        &self,
        outgoing: &mut Vec<u8>,
        write: impl FnOnce(&mut ClientConnection) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut connection = self.connection();
        let connection = connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let result = write(connection)?;
        while connection.wants_write() {
            connection.write_tls(outgoing)?;
        }
        Ok(result)
    }

    /// Sends `close_notify`, unless that was done, or the handshake is not over.
    fn finish(&self, tcp: &TcpStream) -> io::Result<()> {
        let is_open = |connection: &ClientConnection| !connection.is_handshaking();
        if std::mem::replace(&mut *self.ended.lock().unwrap(), true)
            || !self.connection().as_ref().is_some_and(is_open)
        {
            return Ok(());
        }
        let mut outgoing = self.outgoing.lock().unwrap();
        self.encrypt(&mut outgoing, |connection| {
            connection.send_close_notify();
            Ok(())
        })?;
        push(tcp, &mut outgoing)
    }
}

fn push(mut tcp: &TcpStream, outgoing: &mut Vec<u8>) -> io::Result<()> {
    let mut sent = 0;
    let result = loop {
        match tcp.write(&outgoing[sent..]) {
            _ if sent == outgoing.len() => break Ok(()),
            Ok(size) => sent += size,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => break Err(err),
        }
    };
    outgoing.drain(..sent);
    result
}

fn failed(err: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, err)
}

impl Socket {
    /// In clear.
    pub fn new(tcp: TcpStream) -> Self {
        Self {
            tcp: Arc::new(tcp),
            tls: None,
        }
    }

    /// Under TLS, with deadlines; the handshake comes with the first use.
    pub fn under_tls(tcp: TcpStream, config: &Arc<ClientConfig>) -> Self {
        set_deadlines(&tcp);
        tcp.set_nodelay(true).unwrap();
        let mut socket = Self::new(tcp);
        socket.secure(Arc::clone(config));
        socket
    }

    /// Puts the connection under TLS; the handshake comes with the first use.
    pub fn secure(&mut self, config: Arc<ClientConfig>) {
        self.tls = Some(Arc::new(Tls::new(config)));
    }

    /// Weak references, for a handshake that another part of the test begins.
    pub(crate) fn downgrade(&self) -> (Weak<TcpStream>, Weak<Tls>) {
        let tls = self.tls.as_ref().map(Arc::downgrade);
        (Arc::downgrade(&self.tcp), tls.unwrap_or_default())
    }

    /// Whether it is under TLS.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the socket below TLS, which sends no `close_notify` any more.
    pub fn into_tcp(self) -> TcpStream {
        if let Some(tls) = &self.tls {
            *tls.ended.lock().unwrap() = true;
        }
        self.tcp.try_clone().unwrap()
    }

    /// Shakes hands, if that was not done yet.
    pub fn handshake(&self) -> io::Result<()> {
        match &self.tls {
            None => Ok(()),
            Some(tls) => tls.handshake(&self.tcp),
        }
    }

    /// Sends `close_notify`, and keeps the connection open.
    pub fn send_close_notify(&self) {
        let tls = self.tls.as_ref().expect("it is in clear");
        tls.handshake(&self.tcp).unwrap();
        tls.finish(&self.tcp).unwrap();
    }

    /// Asks rustls about the connection, after the handshake began.
    pub fn ask<T>(&self, question: impl FnOnce(&mut ClientConnection) -> T) -> T {
        let tls = self.tls.as_ref().expect("it is in clear");
        question(tls.connection().as_mut().expect("not begun"))
    }

    /// Shuts the connection down; for writing, after `close_notify`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if let (Some(tls), Shutdown::Write) = (&self.tls, how) {
            // An empty upload has a handshake, too.
            let _ = tls.handshake(&self.tcp);
            tls.finish(&self.tcp)?;
        }
        self.tcp.shutdown(how)
    }

    /// Reads bytes without taking them. A signal, which other tests of the same process may
    /// raise, does not end the wait.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.peek_once(buffer) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn peek_once(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else {
            return self.tcp.peek(buffer);
        };
        let mut peeked = tls.peeked.lock().unwrap();
        if peeked.is_empty() {
            let mut chunk = vec![0; buffer.len()];
            let size = tls.read(&self.tcp, &mut chunk)?;
            peeked.extend_from_slice(&chunk[..size]);
        }
        let size = peeked.len().min(buffer.len());
        buffer[..size].copy_from_slice(&peeked[..size]);
        Ok(size)
    }

    /// Returns the same connection, for another thread.
    pub fn share(&self) -> Self {
        Self {
            tcp: Arc::clone(&self.tcp),
            tls: self.tls.clone(),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The connection may be used elsewhere.
        if let Some(tls) = &self.tls
            && Arc::strong_count(tls) == 1
            && !*tls.ended.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let _ = self.tcp.set_nonblocking(true);
            let _ = tls.finish(&self.tcp);
        }
    }
}

impl Deref for Socket {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.tcp
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else {
            return (&*self.tcp).read(buffer);
        };
        let mut peeked = tls.peeked.lock().unwrap();
        if peeked.is_empty() {
            drop(peeked);
            return tls.read(&self.tcp, buffer);
        }
        let size = peeked.len().min(buffer.len());
        buffer[..size].copy_from_slice(&peeked[..size]);
        peeked.drain(..size);
        Ok(size)
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.tls {
            None => (&*self.tcp).write(bytes),
            Some(tls) => tls.write(&self.tcp, bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &self.tls {
            None => Ok(()),
            Some(tls) => tls.flush(&self.tcp),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

/// Lets reads and writes fail after [`DEADLINE`].
pub fn set_deadlines(socket: &TcpStream) {
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
}

/// Closes a connection with RST.
pub fn reset(socket: Socket) {
    reset_when_dropped(&socket.into_tcp());
}

/// Lets a connection end with RST.
pub fn reset_when_dropped(socket: &TcpStream) {
    SockRef::from(socket)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}
