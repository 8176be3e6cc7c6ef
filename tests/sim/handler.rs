//! The handler of each session: stock, and it records its callbacks.

use std::path::Path;

use ftpdlib::handlers::dispatch;
use ftpdlib::proto::command::CommandLine;
use ftpdlib::{FTPHandler, FTPSession};

use crate::disk::{Disk, Note};
use crate::model::Callback;
use crate::panics;

/// The handler of a session.
pub struct Recorder {
    disk: Disk,
    /// The number of the client.
    client: usize,
    /// The number of the callback that panics, counted down.
    panics_in: Option<usize>,
    /// The turn in which commands began last, and how many.
    commands: (u64, usize),
}

impl Recorder {
    pub fn new(disk: Disk, client: usize, panics_in: Option<usize>) -> Self {
        Self {
            disk,
            client,
            panics_in,
            commands: (0, 0),
        }
    }

    fn record(&mut self, callback: Callback) {
        let client = self.client;
        let mut state = self.disk.lock();
        state.trace.callback(client, &callback);
        state.check_closed(&callback);
        state.notes.push(Note::Callback { client, callback });
        let left = self.panics_in;
        self.panics_in = left.and_then(|left| left.checked_sub(1));
        if left == Some(0) {
            state.notes.push(Note::Panic { client });
            drop(state);
            panic!("{}", panics::PLANNED);
        }
    }
}

impl FTPHandler for Recorder {
    fn on_connect(&mut self, _: &mut FTPSession) {
        self.record(Callback::Connect);
    }

    fn on_disconnect(&mut self, _: &mut FTPSession) {
        self.record(Callback::Disconnect);
    }

    fn on_login(&mut self, _: &mut FTPSession, username: &str) {
        self.record(Callback::Login(username.to_owned()));
    }

    fn on_login_failed(&mut self, _: &mut FTPSession, username: &str, _password: &str) {
        self.record(Callback::LoginFailed(username.to_owned()));
    }

    fn on_logout(&mut self, _: &mut FTPSession, username: &str) {
        self.record(Callback::Logout(username.to_owned()));
    }

    fn on_file_sent(&mut self, _: &mut FTPSession, file: &Path) {
        self.record(Callback::FileSent(file.to_owned()));
    }

    fn on_file_received(&mut self, _: &mut FTPSession, file: &Path) {
        self.record(Callback::FileReceived(file.to_owned()));
    }

    fn on_incomplete_file_sent(&mut self, _: &mut FTPSession, file: &Path) {
        self.record(Callback::IncompleteFileSent(file.to_owned()));
    }

    fn on_incomplete_file_received(&mut self, _: &mut FTPSession, file: &Path) {
        self.record(Callback::IncompleteFileReceived(file.to_owned()));
    }

    fn pre_process_command(&mut self, s: &mut FTPSession, line: &CommandLine<'_>) {
        {
            let mut state = self.disk.lock();
            if self.commands.0 != state.turn {
                self.commands = (state.turn, 0);
            }
            self.commands.1 += 1;
            state.work.commands = state.work.commands.max(self.commands.1);
        }
        dispatch::pre_process_command(self, s, line);
    }
}
