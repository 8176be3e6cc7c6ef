//! A session as one of many: what is known about it from outside.

use std::net::SocketAddr;

use super::state::FTPSession;
use crate::sessions::{Ask, Question, SessionId, SessionInfo, Sessions};

impl FTPSession {
    /// The sessions of the server in this process, to list and close them, from other threads too.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions::new(&self.server.loops)
    }

    /// The name of the session in [`sessions`](Self::sessions).
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        SessionId::new(self.remote(), self.id())
    }

    /// Answers a question to all sessions. Returns whether this one must close.
    pub(crate) fn must_close(&mut self, question: &mut Question) -> bool {
        if !question.is_of(&self.server.loops) {
            return false;
        }
        match &mut question.ask {
            Ask::List(found) if self.greeted => {
                found.push(self.info());
                false
            }
            Ask::List(_) => false,
            Ask::Close(username) => self.is_of_user(username),
        }
    }

    /// What is listed about the session.
    fn info(&self) -> SessionInfo {
        SessionInfo {
            id: self.session_id(),
            username: self.authenticated().then(|| self.username.clone()),
            address: SocketAddr::new(self.remote_ip(), self.remote_port()),
            started: self.started(),
            is_transferring: self.transfer_active(),
        }
    }

    /// Whether this user is logged in, waits for the answer to a login, or has a transfer that was
    /// begun before the session got another user.
    fn is_of_user(&mut self, username: &str) -> bool {
        let is_own = self.authenticated() || self.login.is_waiting();
        (is_own && self.username == username) || self.has_transfer_of(username)
    }
}
