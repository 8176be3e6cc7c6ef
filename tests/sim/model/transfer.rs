//! A transfer: what it must move, and what its final reply means.

use std::rc::Rc;
use std::time::Duration;

use super::Damage;
use super::listing::Expected;
use super::session::Port;

#[derive(Clone, Debug)]
pub struct Transfer {
    pub serial: u64,
    pub name: &'static str,
    pub what: Payload,
    pub home: usize,
    /// The data connection, once it is known.
    pub conn: Option<u32>,
    /// Its data port, if there is one: whether it is passive, and its number.
    pub port: Option<(bool, u16)>,
    /// It got 150 when there was no data port.
    pub promised: bool,
    pub started: Duration,
    /// The numbers of the events in which its command was sent, and its reply 1xx was read.
    pub asked: u64,
    pub began: u64,
    /// Judged loosely: the disk was at fault, or others work in the home.
    pub loose: bool,
    /// An operation has failed that stores the bytes of the upload.
    pub unwritten: bool,
    /// A foreign client may have its data connection.
    pub stolen: bool,
    /// The final reply has come: this code.
    pub code: Option<u16>,
}

#[derive(Clone, Debug)]
pub enum Payload {
    /// The bytes on the wire.
    Download(Rc<Vec<u8>>),
    Listing(Box<Expected>),
    Upload(Box<Upload>),
}

#[derive(Clone, Debug)]
pub struct Upload {
    /// The file, by its number in the tree.
    pub id: u32,
    /// Where it was opened: without links, and as it was named.
    pub path: Vec<u8>,
    pub named: Vec<u8>,
    pub old: Rc<Vec<u8>>,
    pub mode: Mode,
    pub ascii: bool,
    /// The command has made the file.
    pub made: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Write,
    Append,
    /// From this offset; what is beyond the new bytes stays.
    Update(usize),
}

impl Transfer {
    /// Whether it is an upload, and an operation has failed that stores its bytes at this path.
    pub fn stores(&self, home: usize, path: &[u8], damage: &Damage) -> bool {
        let Payload::Upload(upload) = &self.what else {
            return false;
        };
        let stores = matches!(
            damage,
            Damage::Failed {
                operation: "write" | "close",
                ..
            }
        );
        stores && self.home == home && (upload.path == path || upload.named == path)
    }

    /// Whether its data connection is not there. One that the server has made is, before the
    /// client has accepted it.
    pub fn is_pending(&self) -> bool {
        self.conn.is_none() && !matches!(self.port, Some((false, _)))
    }

    /// Whether the server has certainly seen its data connection.
    pub fn is_seen(&self, port: &Option<Port>) -> bool {
        let seen = port.as_ref().is_some_and(|port| port.is_seen);
        self.conn.is_some() && seen
    }
}

impl Upload {
    /// The content of the file when `new` has been written.
    pub fn content(&self, new: &[u8]) -> Vec<u8> {
        match self.mode {
            Mode::Write => new.to_vec(),
            Mode::Append => [&self.old[..], new].concat(),
            Mode::Update(offset) => {
                let mut all = self.old[..offset].to_vec();
                all.extend_from_slice(new);
                if let Some(rest) = self.old.get(all.len()..) {
                    all.extend_from_slice(rest);
                }
                all
            }
        }
    }

    /// What is written of these bytes of the wire.
    pub fn written(&self, wire: &[u8]) -> Vec<u8> {
        match self.ascii {
            true => from_ascii(wire),
            false => wire.to_vec(),
        }
    }

    /// Whether `found` is what a part of the bytes of the wire leaves, or the old bytes.
    pub fn is_part(&self, wire: &[u8], found: &[u8]) -> bool {
        if found == &self.old[..] {
            return true;
        }
        let new = self.written(wire);
        let offset = match self.mode {
            Mode::Write => 0,
            Mode::Append => self.old.len(),
            Mode::Update(offset) => offset,
        };
        let Some(after) = found.get(offset..) else {
            return false;
        };
        let same = after.iter().zip(&new).take_while(|(a, b)| a == b).count();
        // A part that is cut between CR and LF may have the CR.
        let with_cr =
            self.ascii && after.get(same) == Some(&b'\r') && new.get(same) == Some(&b'\n');
        self.content(&new[..same]) == found
            || with_cr && self.content(&[&new[..same], b"\r"].concat()) == found
    }
}

/// The bytes of a file as TYPE A sends them: LF without a CR before it becomes CR LF.
pub fn to_ascii(bytes: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    let mut before = 0;
    for byte in bytes {
        if *byte == b'\n' && before != b'\r' {
            wire.push(b'\r');
        }
        wire.push(*byte);
        before = *byte;
    }
    wire
}

/// What TYPE A stores: CR LF becomes LF, all other bytes stay.
pub fn from_ascii(wire: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(wire.len());
    for byte in wire {
        if *byte == b'\n' && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        bytes.push(*byte);
    }
    bytes
}
