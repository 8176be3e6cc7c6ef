//! Host names in replies to PASV: what a server is told, and when it asks for their addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::model::Model;
use super::server::FTPServer;
use crate::log::TARGET;
use crate::server_state::host_names::{self, PERIOD};

impl FTPServer {
    /// Asks for the IPv4 address of a host name at the start and every 30 seconds while the server
    /// serves, and puts it into replies to PASV. The question is asked off the loop. The last good answer stays in
    /// use while there is no other.
    ///
    /// With a `local` address it takes the place of the entry of
    /// [`masquerade_address_map`](crate::FTPConfig::masquerade_address_map) for it, else that of
    /// [`masquerade_address`](crate::FTPConfig::masquerade_address). These hold the address until
    /// the first answer: see [`resolve_masquerade_name`](Self::resolve_masquerade_name). Call this
    /// before the server serves.
    ///
    /// # Errors
    /// The system has no memory that processes can share.
    pub fn set_masquerade_name(&mut self, local: Option<IpAddr>, name: &str) -> io::Result<()> {
        let config = &self.config;
        let first = match &local {
            Some(local) => config.masquerade_address_map.get(local),
            None => config.masquerade_address.as_ref(),
        };
        let first = first.and_then(|text| text.parse().ok());
        if let Some(first) = first {
            log::info!(target: TARGET, "masquerade address: '{name}' is {first}");
        }
        self.state.host_names.set(local, name, first)
    }

    /// Looks up the IPv4 address of a host name, or reads one. Blocks as long as that takes.
    ///
    /// # Errors
    /// There is none that clients can connect to. The text contains the name and the reason.
    pub fn resolve_masquerade_name(name: &str) -> io::Result<Ipv4Addr> {
        host_names::resolve(name)
    }

    /// Lets the loop ask for the addresses of host names from time to time.
    pub(super) fn ask_for_names(&mut self) {
        if self.state.host_names.is_empty() {
            return;
        }
        // A process that forks must have no threads. It asks in another process, between two turns
        // of its loop, which the call lets it make.
        let forks = matches!(self.model, Model::Processes(_));
        let state = Arc::clone(&self.state);
        let ask = move || {
            if !forks {
                state.host_names.refresh();
            }
        };
        ask();
        self.ioloop.call_every(PERIOD, move |_| ask());
    }
}
