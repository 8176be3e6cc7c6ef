//! The user of a session, and the user of a transfer that goes on after its user has logged out.

use std::mem;

use super::login::{Account, Login};
use super::state::FTPSession;

impl FTPSession {
    /// Forgets the user. A transfer in progress stays that of the user who has begun it, and
    /// counts for that user.
    pub(crate) fn forget_user(&mut self) {
        let mut account = Account {
            login: Login::No,
            username: String::new(),
            password: String::new(),
            fs: None,
        };
        self.swap_account(&mut account);
        if self.transfer_active() && self.transfer_user.is_none() {
            self.transfer_user = Some(Box::new(account));
        }
        if let (Some(user), Some(slot)) = (&self.transfer_user, self.data.slot()) {
            slot.count_user(&user.username);
        }
        self.slot.clear_user();
    }

    /// Counts the session for the user who logs in. Returns false if the user has the most
    /// sessions allowed.
    pub(crate) fn count_user(&mut self) -> bool {
        if let (Some(user), Some(slot)) = (&self.transfer_user, self.data.slot())
            && user.username == self.username
        {
            // The transfer of this session counts for the user already.
            self.slot.count_user(&self.username);
            slot.clear_user();
            return true;
        }
        self.slot.assign_user(&self.username)
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
    }
}
