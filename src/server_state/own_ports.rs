//! Where the servers of this process listen, so that no data connection goes there: a server that
//! connects to itself would take a file for commands, and trust it as a client of this machine.
//!
//! The passive listeners of a server are on the list, too. Workers and processes of connections
//! inherit the list; they do not know the passive listeners of each other.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ServerState;
use crate::proto::address::canonical;

/// An address at which a server of this process listens, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    port: u16,
    one: One,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct One {
    ip: IpAddr,
    /// The server, if only its own data connections are to stay away: two servers may send each
    /// other files.
    server: Option<usize>,
}

impl Listening {
    /// A server listens for control connections.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::with(address, None)
    }

    /// A session of this server listens for a data connection.
    pub(crate) fn passive(address: SocketAddr, server: &Arc<ServerState>) -> Self {
        Self::with(address, Some(number(server)))
    }

    fn with(address: SocketAddr, server: Option<usize>) -> Self {
        let (ip, port) = (canonical(address.ip()), address.port());
        let one = One { ip, server };
        let mut all = all();
        let at_port = all.get_or_insert_default().entry(port).or_default();
        at_port.push(one);
        Self { port, one }
    }
}

/// A number that no other server has.
fn number(server: &Arc<ServerState>) -> usize {
    Arc::as_ptr(server).addr()
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut all = all();
        let Some(all) = all.as_mut() else { return };
        if let Some(at_port) = all.get_mut(&self.port) {
            if let Some(index) = at_port.iter().position(|one| *one == self.one) {
                at_port.swap_remove(index);
            }
            if at_port.is_empty() {
                all.remove(&self.port);
            }
        }
    }
}

/// Whether a connection to `target` would come to a server of this process, or to a passive listener
/// of this server.
pub(crate) fn is_own(target: SocketAddr, server: Option<&Arc<ServerState>>) -> bool {
    let server = server.map(number);
    let at_port = all()
        .as_ref()
        .and_then(|all| all.get(&target.port()).cloned());
    let mut at_port = at_port.unwrap_or_default();
    at_port.retain(|one| one.server.is_none() || one.server == server);
    at_port.into_iter().any(|One { ip, .. }| {
        // A connection to the unspecified address goes to this machine.
        ip == target.ip() || target.ip().is_unspecified() || ip.is_unspecified() && is_local(target)
    })
}

/// Whether an address is one of this machine: a socket can be bound to it. Any other error than
/// that it cannot counts as yes, so that the data connection is refused.
fn is_local(target: SocketAddr) -> bool {
    let bound = UdpSocket::bind(SocketAddr::new(target.ip(), 0));
    !bound.is_err_and(|err| err.kind() == ErrorKind::AddrNotAvailable)
}

fn all() -> MutexGuard<'static, Option<Ports>> {
    // A panic cannot leave the list half changed, so a poisoned lock is fine.
    LISTENING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is listened on, by its port.
type Ports = HashMap<u16, Vec<One>>;

static LISTENING: Mutex<Option<Ports>> = Mutex::new(None);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[test]
    fn the_port_is_that_of_each_own_address() {
        // Nothing is bound here, so the numbers need not be free.
        let all = Listening::new(at("[::]:1"));
        for own in ["127.0.0.1:1", "127.1.2.3:1", "0.0.0.0:1", "[::1]:1"] {
            assert!(is_own(at(own), None), "{own}");
        }
        for other in ["127.0.0.1:2", "192.0.2.1:1"] {
            assert!(!is_own(at(other), None), "{other}");
        }
        drop(all);
        assert!(!is_own(at("127.0.0.1:1"), None));
    }

    #[test]
    fn one_address_has_no_other() {
        let _one = Listening::new(at("[::ffff:127.0.0.1]:3"));
        assert!(is_own(at("127.0.0.1:3"), None) && is_own(at("0.0.0.0:3"), None));
        assert!(!is_own(at("127.0.0.2:3"), None));
    }
}
