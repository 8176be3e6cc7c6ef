//! The limits of a server on connections.

use super::server::FTPServer;

impl FTPServer {
    /// Limits the number of sockets: control connections, data connections, passive
    /// listeners and the listening socket of the server. Further clients get 421.
    /// Default: 512; 0: no limit.
    ///
    /// From 32 on, the last eighth is for data connections and their listeners. If the rest is
    /// taken, a client that has many connections loses one to that of another client: the
    /// oldest of those that are not logged in; or if it has more than half of all, the longest
    /// idle of the others. A transfer that has moved nothing for ten seconds is idle. That session
    /// gets 421.
    pub fn set_max_cons(&mut self, max_cons: usize) {
        self.state.limits.set_max_cons(max_cons);
    }

    /// Limits the number of control connections from one address. Further ones get 421.
    /// Default: 0, no limit.
    pub fn set_max_cons_per_ip(&mut self, max_cons_per_ip: usize) {
        self.state.limits.set_max_cons_per_ip(max_cons_per_ip);
    }

    /// Limits the number of control connections on which one user is logged in. It counts
    /// for the anonymous user, too. Further logins get 530. Default: 0, no limit.
    pub fn set_max_cons_per_user(&mut self, max_cons_per_user: usize) {
        let limits = &self.state.limits;
        limits.set_max_cons_per_user(max_cons_per_user);
    }

    /// Sets how many bits of an IPv6 address stand for a client, for
    /// [`set_max_cons_per_ip`](Self::set_max_cons_per_ip) and when clients that have many connections
    /// make room for others: from 1 to 128. Default: 64.
    pub fn set_ipv6_prefix(&mut self, bits: u8) {
        self.state.limits.set_ipv6_prefix(bits);
    }
}
