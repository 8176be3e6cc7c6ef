//! The user of a session, and the user of a transfer that goes on, or is pending, after its user has
//! logged out.

use std::mem;
use std::time::{Duration, Instant};

use super::login::{Account, Login, Owner};
use super::stage::DataState;
use super::state::FTPSession;
use crate::filesystems::LoginFS;
use crate::limits::Slot;
use crate::time::after;

impl FTPSession {
    /// Forgets the user. A transfer that is in progress or pending stays that of the user who has
    /// begun it, and counts for that user.
    pub(crate) fn forget_user(&mut self) {
        let (mut account, ip) = (Account::default(), self.remote_ip());
        self.swap_account(&mut account);
        self.settings_changed(account.own.as_deref());
        if account.login.is_done() {
            let timeout = self.login_timeout();
            self.login_by = timeout.map(|timeout| after(self.now, timeout));
        }
        if account.login.is_done()
            && let Some(pending) = &mut self.pending
            && pending.owner.is_none()
        {
            let (account, slot) = (account.copy(), self.server.slot(ip));
            pending.owner = Some(Box::new(Owner { account, slot }));
        }
        if self.transfer_active() && self.transfer_user.is_none() {
            self.transfer_user = Some(Box::new(account));
        }
        self.uncount_user();
    }

    /// When the client will have taken too long to log in. A transfer of a user who has logged out
    /// may end first.
    pub(crate) fn login_deadline(&self) -> Option<Instant> {
        let is_owed = !self.authenticated() && !self.is_closing();
        // Without a data port, a transfer could wait for ever.
        let may_begin = self.pending.is_some() && !matches!(self.data, DataState::None);
        self.login_by
            .filter(|_| is_owed && !self.transfer_active() && !may_begin)
    }

    /// Whether others may get the slots of the session: nothing happens in it. A transfer that waits
    /// for its data connection is nothing, and so is one that has moved next to nothing for ten
    /// seconds.
    pub(crate) fn may_make_room(&self) -> bool {
        let silent = |at: Instant| at <= self.now;
        let transfers = self.transfer_active() && !self.silent_at().is_some_and(silent);
        !transfers && !self.owes_reply() && !self.is_parked()
    }

    /// When the transfer in progress will have been silent for ten seconds.
    fn silent_at(&self) -> Option<Instant> {
        let channel = self.data_channel()?;
        let transfers = channel.transfer_in_progress();
        transfers.then(|| after(channel.idle_since(), SILENCE))
    }

    /// When the session [may make room](Self::may_make_room) because its transfer is silent, if it
    /// may not yet.
    pub(crate) fn silence_deadline(&self) -> Option<Instant> {
        self.silent_at().filter(|at| *at > self.now)
    }

    /// Counts the session for the user who logs in. Returns false if the user has the most
    /// sessions allowed.
    pub(crate) fn count_user(&mut self) -> bool {
        let username = self.username.clone();
        let mut is_counted = false;
        self.for_transfers_of_others(|account, _| is_counted |= account.username == username);
        if !is_counted {
            return self.slot.assign_user(&username);
        }
        // A transfer of this session counts for the user already.
        self.slot.count_user(&username);
        self.count_transfers(Some(&username));
        true
    }

    /// Counts the session for nobody.
    pub(crate) fn uncount_user(&mut self) {
        self.count_transfers(None);
        self.slot.clear_user();
    }

    /// Counts each transfer for its user, unless the session itself counts for that one.
    fn count_transfers(&mut self, counted: Option<&str>) {
        self.for_transfers_of_others(|account, slot| match counted {
            Some(username) if account.username == username => slot.clear_user(),
            _ => slot.count_user(&account.username),
        });
    }

    /// Calls a function for each transfer whose user has logged out.
    fn for_transfers_of_others(&mut self, mut function: impl FnMut(&Account, &mut Slot)) {
        if let (Some(user), Some(slot)) = (&self.transfer_user, self.data.slot()) {
            function(user, slot);
        }
        if let Some(pending) = &mut self.pending
            && let Some(owner) = &mut pending.owner
        {
            function(&owner.account, &mut owner.slot);
        }
    }

    /// Whether a transfer goes on, or is pending, that this user has begun before logging out.
    pub(super) fn has_transfer_of(&mut self, username: &str) -> bool {
        let mut has_one = false;
        self.for_transfers_of_others(|account, _| has_one |= account.username == username);
        has_one
    }

    /// The pending transfer has begun: it was that of `owner`, if the user has logged out.
    pub(crate) fn begin_as(&mut self, owner: Option<Box<Owner>>) {
        let Some(owner) = owner else { return };
        // The slot is given back when the data connection counts.
        let Owner { account, slot } = *owner;
        self.transfer_user = Some(Box::new(account));
        let counted = self.authenticated().then(|| self.username.clone());
        self.count_transfers(counted.as_deref());
        drop(slot);
    }

    /// Runs `function` as the user of the pending transfer.
    pub(crate) fn as_pending_user<T>(&mut self, function: impl FnOnce(&mut Self) -> T) -> T {
        let owner = self
            .pending
            .as_mut()
            .and_then(|pending| pending.owner.take());
        let (result, owner) = self.as_owner(owner, function);
        if let Some(pending) = &mut self.pending {
            pending.owner = owner;
        }
        result
    }

    /// Runs `function` as the owner of a transfer that was pending, if that user has logged out.
    pub(crate) fn as_owner<T>(
        &mut self,
        owner: Option<Box<Owner>>,
        function: impl FnOnce(&mut Self) -> T,
    ) -> (T, Option<Box<Owner>>) {
        let Some(mut owner) = owner else {
            return (function(self), None);
        };
        self.swap_account(&mut owner.account);
        let result = function(self);
        self.swap_account(&mut owner.account);
        (result, Some(owner))
    }

    /// Runs `function` as the user whose transfer is in progress or ends.
    pub(crate) fn as_transfer_user<T>(&mut self, function: impl FnOnce(&mut Self) -> T) -> T {
        let Some(mut account) = self.transfer_user.take() else {
            return function(self);
        };
        self.swap_account(&mut account);
        let result = function(self);
        self.swap_account(&mut account);
        self.transfer_user = Some(account);
        result
    }

    /// Runs `function` as the user whose transfer has ended.
    pub(crate) fn as_last_transfer_user<T>(&mut self, function: impl FnOnce(&mut Self) -> T) -> T {
        let result = self.as_transfer_user(function);
        self.transfer_user = None;
        result
    }

    fn swap_account(&mut self, account: &mut Account) {
        mem::swap(&mut self.login, &mut account.login);
        mem::swap(&mut self.username, &mut account.username);
        mem::swap(&mut self.password, &mut account.password);
        mem::swap(&mut self.fs, &mut account.fs);
        self.swap_user_settings(&mut account.own);
    }
}

impl Account {
    /// A copy of the account of a user who is logged in.
    fn copy(&self) -> Self {
        let copy = LoginFS::copy;
        Self {
            login: Login::Done,
            username: self.username.clone(),
            password: self.password.clone(),
            fs: self.fs.as_ref().map(copy),
            own: self.own.clone(),
        }
    }
}

/// A transfer that moves next to nothing for so long does not keep the slots of its session from others.
const SILENCE: Duration = Duration::from_secs(10);
