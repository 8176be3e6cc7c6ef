//! Where the servers of this process listen, so that no data connection goes there: a server that
//! connects to itself would take a file for commands, and trust it as a client of this machine.
//!
//! Workers and processes of connections inherit the list, and listen on its ports only.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::proto::address::canonical;

/// An address at which a server of this process listens, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listening(SocketAddr);

impl Listening {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let address = SocketAddr::new(canonical(address.ip()), address.port());
        all().push(address);
        Self(address)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut all = all();
        if let Some(index) = all.iter().position(|address| *address == self.0) {
            all.swap_remove(index);
        }
    }
}

/// Whether a connection to `target` would come to a server of this process.
pub(crate) fn is_own(target: SocketAddr) -> bool {
    let ports = |address: &&SocketAddr| address.port() == target.port();
    let ips: Vec<IpAddr> = all().iter().filter(ports).map(SocketAddr::ip).collect();
    ips.into_iter().any(|ip| {
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

fn all() -> MutexGuard<'static, Vec<SocketAddr>> {
    // A panic cannot leave the list half changed, so a poisoned lock is fine.
    LISTENING.lock().unwrap_or_else(PoisonError::into_inner)
}

static LISTENING: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());

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
            assert!(is_own(at(own)), "{own}");
        }
        for other in ["127.0.0.1:2", "192.0.2.1:1"] {
            assert!(!is_own(at(other)), "{other}");
        }
        drop(all);
        assert!(!is_own(at("127.0.0.1:1")));
    }

    #[test]
    fn one_address_has_no_other() {
        let _one = Listening::new(at("[::ffff:127.0.0.1]:3"));
        assert!(is_own(at("127.0.0.1:3")) && is_own(at("0.0.0.0:3")));
        assert!(!is_own(at("127.0.0.2:3")));
    }
}
