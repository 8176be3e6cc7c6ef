//! A connection of a client.

use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;

/// A connection of a client, in clear or under TLS.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Wire {
    /// A connection after its handshake.
    pub fn tls(tls: ClientConnection, socket: TcpStream, ahead: usize) -> Self {
        let socket = Socket(BufReader::with_capacity(ahead, socket));
        Self::Tls(Box::new(StreamOwned::new(tls, socket)))
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.sock.0.get_ref(),
        }
    }

    /// Ends the sending side, and under TLS waits for the end of the other side.
    pub fn finish(mut self) {
        self.end();
        if let Self::Tls(_) = &self {
            self.read_end();
        }
    }

    /// Ends the sending side.
    pub fn end(&mut self) {
        match self {
            Self::Plain(socket) => {
                let _ = socket.shutdown(Shutdown::Write);
            }
            Self::Tls(tls) => {
                tls.conn.send_close_notify();
                // The server may have closed first.
                let _ = tls.flush();
            }
        }
    }

    /// Lets the connection end with RST when it is dropped.
    pub fn reset_when_dropped(&self) -> io::Result<()> {
        SockRef::from(self.socket()).set_linger(Some(Duration::ZERO))
    }

    /// Reads the end of the connection; not every server ends TLS before TCP.
    pub fn read_end(&mut self) {
        match self.read(&mut [0; 16]) {
            Ok(read) => assert_eq!(read, 0),
            Err(err) => assert_ne!(err.kind(), io::ErrorKind::WouldBlock, "no end comes"),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// A socket below TLS. Without the buffer rustls would read it in pieces of 4 KiB.
pub struct Socket(BufReader<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
