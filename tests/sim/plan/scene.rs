//! What a world has before its clients come: settings, users, homes. Pure data.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::step::Client;

/// Clients and what they find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    pub settings: Settings,
    pub users: Vec<User>,
    /// By number: the homes that [`User::home`] names.
    pub homes: Vec<Home>,
    pub clients: Vec<Client>,
}

/// The settings of the server, as far as a client can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the server listens: IPv4 or IPv6 loopback.
    pub address: SocketAddr,
    pub banner: String,
    /// `FTPConfig::timeout`; zero is never.
    pub timeout: Duration,
    /// `FTPConfig::login_timeout`; zero is never.
    pub login_timeout: Duration,
    /// `DTPConfig::timeout`; zero is never.
    pub data_timeout: Duration,
    pub passive_timeout: Duration,
    pub active_timeout: Duration,
    pub auth_failed_timeout: Duration,
    pub max_login_attempts: u32,
    /// 0 is no limit.
    pub max_cons: usize,
    pub max_cons_per_ip: usize,
    pub max_cons_per_user: usize,
    pub permit_foreign: bool,
    pub permit_privileged: bool,
    pub encoding: Encoding,
    pub tls: Tls,
    /// Bytes per second of downloads and of uploads; 0 is no limit.
    pub throttle: (u64, u64),
    pub authorizer: Answers,
    /// Whether the server keeps a second upload of a name away (`upload_lock`).
    pub upload_lock: bool,
    /// How far each reading of the clock moves it (`Server::set_tick`).
    pub tick: Duration,
}

/// `FTPConfig::encoding` with `unicode_errors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, `replace`.
    Utf8,
    /// UTF-8, `strict`.
    Utf8Strict,
    /// Latin-1, `replace`.
    Latin1,
}

/// Whether the server has TLS, and what it requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Off,
    /// AUTH is possible.
    On,
    ControlRequired,
    /// Also on data connections.
    AllRequired,
}

/// When the authorizer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    AtOnce,
    /// `LaterVerdict::offload`: a job, run when the world draws it.
    Job,
    /// `LaterVerdict`, sent after so much time.
    Later(Duration),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: String,
    /// The number of the home.
    pub home: usize,
    /// Letters of elradfmwMT.
    pub perms: String,
    pub msg_login: String,
    pub msg_quit: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The real path, as `/home/3`. No home is inside another.
    pub root: String,
    pub tree: Tree,
    /// Whether at most one session at a time works in it, and nothing else does.
    pub private: bool,
    /// Bytes that are in the names and in the content of files of this home and of no other.
    pub marker: String,
}

/// All that is below a home: FTP path (`/a/b`, in bytes of the disk) to node. `/` itself is not
/// there. Each parent is there and is a directory.
pub type Tree = BTreeMap<Vec<u8>, Node>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    /// The lowest twelve bits. The disk stores them and does not enforce them.
    pub mode: u32,
    /// Seconds since 1970, UTC.
    pub mtime: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Dir,
    File(Vec<u8>),
    /// What it points to: as on a disk, relative to its directory, or absolute from the root of
    /// the disk and so perhaps outside of the home.
    Link(Vec<u8>),
}
