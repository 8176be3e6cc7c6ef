//! How hooks set the settings of one session.

use std::borrow::Cow;
use std::mem;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::own::OwnSettings;
use super::stage::DataState;
use super::state::FTPSession;
use crate::handlers::data::{DataChannel, Throttle};
use crate::proto::encoding::{Encoding, UnicodeErrors};
use crate::proto::listing::InvalidFacts;
use crate::proto::transfer_type::TransferType;
use crate::time::after;

/// Settings of one session. A value that is set here takes the place of that in
/// [`FTPConfig`](crate::FTPConfig).
///
/// What is set while a user is logged in belongs to that login: it ends with it, at REIN, AUTH and
/// another USER, and also holds in the callbacks of a transfer that goes on after that. What is set
/// before, for example in [`on_connect`](crate::FTPHandler::on_connect), stays as long as the
/// session, and holds where the login has set nothing else. [`on_login`](crate::FTPHandler::on_login)
/// and [`on_logout`](crate::FTPHandler::on_logout) are calls while the user is logged in.
impl FTPSession {
    /// Sets how long the client may be silent between commands; `None`: without limit. The time
    /// begins anew with this call; while a data connection is open it does not run, as always.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.layer().timeout = Some(timeout);
        self.renew_idle();
    }

    /// Sets how long the client may take to log in; `None`: without limit. The time counts from
    /// where it counted before, from the connection as a rule, so that no client gains time by a
    /// command; without a limit before, from this call. The setting stays as long as the session.
    pub fn set_login_timeout(&mut self, timeout: Option<Duration>) {
        let old = self.login_timeout();
        self.rare().own.get_or_insert_default().login_timeout = Some(timeout);
        let began = match (self.login_by, old) {
            (Some(deadline), Some(old)) => deadline.checked_sub(old).unwrap_or(self.now),
            _ => self.now,
        };
        self.login_by = timeout.map(|timeout| after(began, timeout));
    }

    /// Chooses the facts that MLSD and MLST show, as OPTS MLST of the client does: for example
    /// `"type;perm;size;modify;unique;unix.mode;"`. FEAT marks them with `*`. Returns those that
    /// are known. REIN and OPTS MLST of the client choose others.
    ///
    /// # Errors
    /// The argument is not empty and has no `;`.
    pub fn select_facts(&mut self, facts: &str) -> Result<String, InvalidFacts> {
        self.facts.select(facts)
    }

    /// Sets how long a data connection may make no progress; `None`: without limit. Holds at once,
    /// also for the transfer in progress, and counts from its last progress.
    pub fn set_dtp_timeout(&mut self, timeout: Option<Duration>) {
        self.layer().dtp_timeout = Some(timeout);
        if let Some(open) = self.own_connection() {
            open.timeout = timeout;
        }
    }

    /// Sets how long the client may take to connect after PASV and EPSV; `None`: without limit.
    /// Holds from the next PASV or EPSV on.
    pub fn set_passive_timeout(&mut self, timeout: Option<Duration>) {
        self.layer().passive_timeout = Some(timeout);
    }

    /// Sets how long connecting to the client may take after PORT and EPRT; `None`: without limit.
    /// Holds from the next PORT or EPRT on.
    pub fn set_active_timeout(&mut self, timeout: Option<Duration>) {
        self.layer().active_timeout = Some(timeout);
    }

    /// Sets the text of the 220 greeting, which follows
    /// [`on_connect`](crate::FTPHandler::on_connect).
    pub fn set_banner(&mut self, text: impl Into<String>) {
        self.layer().banner = Some(text.into());
    }

    /// Sets the address in the replies to PASV. It takes precedence over each masquerade address
    /// of the server, also over those of its local addresses. `None`: the address that the client
    /// has connected to.
    pub fn set_masquerade_address(&mut self, address: Option<Ipv4Addr>) {
        self.layer().masquerade_address = Some(address);
    }

    /// Sets the ports for passive data connections, tried in random order; empty, or if none is
    /// free: the system chooses. A port 0 is left out. Sessions share the list if they are given
    /// the same `Arc`.
    pub fn set_passive_ports(&mut self, ports: impl Into<Arc<[u16]>>) {
        let mut ports = ports.into();
        if ports.contains(&0) {
            ports = ports.iter().copied().filter(|port| *port != 0).collect();
        }
        self.layer().passive_ports = Some(ports);
    }

    /// Adds a line to the reply to FEAT, for example `MD5`. The lines are sorted, and each is there
    /// once. A session has at most 64 lines of its own: one more is not added, and the result is
    /// false.
    pub fn add_feature(&mut self, line: impl Into<Cow<'static, str>>) -> bool {
        let features = &mut self.layer().features;
        let has_room = features.len() < FEATURES_MAX;
        if has_room {
            features.push(line.into());
        }
        has_room
    }

    /// Sets the encoding of commands, replies and listings. Holds from the next command and the
    /// next reply on; a listing in progress keeps the one that it began with. FEAT and OPTS follow.
    pub fn set_encoding(&mut self, encoding: Encoding) {
        self.layer().encoding = Some(encoding);
    }

    /// Sets what happens to bytes that are not in the encoding.
    pub fn set_unicode_errors(&mut self, errors: UnicodeErrors) {
        self.layer().unicode_errors = Some(errors);
    }

    /// Sets the representation type, as TYPE does: for clients that should not have to send it. It
    /// stays until TYPE or REIN.
    pub fn set_transfer_type(&mut self, transfer_type: TransferType) {
        self.transfer_type = transfer_type;
    }

    /// Limits the speed of data connections, in bytes per second: `read_limit` for bytes from the
    /// client, `write_limit` for bytes to it. 0: no limit. Holds at once, also for the transfer in
    /// progress, whatever its [`DTPHandler`](crate::DTPHandler) is: with a
    /// [`ThrottledDTPHandler`](crate::ThrottledDTPHandler), the lower limit counts.
    ///
    /// The transfer moves a tenth of a second's bytes at a time, also by `sendfile` and `splice`,
    /// and pauses when it is ahead. A transfer that goes on after its user has logged out keeps its
    /// limits.
    pub fn set_throttle(&mut self, read_limit: u64, write_limit: u64) {
        let throttle = Throttle::new(read_limit, write_limit);
        self.layer().throttle = Some(throttle);
        let now = self.now;
        if let Some(open) = self.own_connection() {
            open.set_throttle(throttle, now);
        }
    }

    /// Forgets what was set for this session and this login: all settings are those of
    /// [`FTPConfig`](crate::FTPConfig) again, at once.
    pub fn reset_settings(&mut self) {
        let login_timeout = self.config.login_timeout;
        self.set_login_timeout(login_timeout);
        if let Some(rare) = &mut self.rare {
            (rare.own, rare.user_own) = (None, None);
        }
        let (config, now) = (self.dtp_config(), self.now);
        if let Some(open) = self.own_connection() {
            open.timeout = config.timeout;
            open.set_throttle(Throttle::default(), now);
        }
        self.renew_idle();
    }

    // --- for those who read settings

    /// The value that the login or else the session has set, if one has.
    pub(super) fn own<'a, T>(&'a self, get: impl Fn(&'a OwnSettings) -> Option<T>) -> Option<T> {
        self.rare.as_ref()?.layers().find_map(get)
    }

    /// The lines that were added to the reply to FEAT.
    pub(super) fn own_features(&self) -> impl Iterator<Item = String> {
        let layers = self.rare.iter().flat_map(|rare| rare.layers());
        layers.flat_map(|own| own.features.iter().map(|line| line.trim().to_owned()))
    }

    /// The address in the reply to PASV, for a client that has connected to `local`.
    pub(crate) fn announced_address(&self, local: IpAddr) -> String {
        match self.own(|own| own.masquerade_address) {
            Some(own) => own.map_or(local, IpAddr::V4).to_string(),
            None => self.passive_address(local),
        }
    }

    /// The speed limits of a new data connection.
    pub(crate) fn throttle(&self) -> Throttle {
        self.own(|own| own.throttle).unwrap_or_default()
    }

    /// Exchanges the settings of the login for those of another one.
    pub(super) fn swap_user_settings(&mut self, other: &mut Option<Box<OwnSettings>>) {
        if self.rare.is_some() || other.is_some() {
            mem::swap(&mut self.rare().user_own, other);
        }
    }

    /// The settings of a login have ended.
    pub(super) fn settings_changed(&mut self, from: Option<&OwnSettings>) {
        if from.is_some_and(|own| own.timeout.is_some()) {
            self.renew_idle();
        }
    }

    fn layer(&mut self) -> &mut OwnSettings {
        let is_of_login = self.authenticated();
        let rare = self.rare();
        let layer = match is_of_login {
            true => &mut rare.user_own,
            false => &mut rare.own,
        };
        layer.get_or_insert_default()
    }

    /// The open data connection, unless its transfer is one of a user who has logged out.
    fn own_connection(&mut self) -> Option<&mut DataChannel> {
        match &mut self.data {
            DataState::Open(open) if self.transfer_user.is_none() => Some(&mut open.channel),
            _ => None,
        }
    }

    /// Measures the client's silence anew, if it is measured at all: not while a data connection
    /// is open, nor while the last reply is read.
    fn renew_idle(&mut self) {
        let has_data = matches!(self.data, DataState::Open(_) | DataState::Ending(_));
        if !has_data && !self.is_closing() {
            self.restart_idle();
        }
    }
}

/// The lines of a session in the reply to FEAT, at most.
const FEATURES_MAX: usize = 64;
