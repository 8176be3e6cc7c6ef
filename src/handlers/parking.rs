//! Sessions that wait for work off the loop: what they keep meanwhile, and how a
//! result comes back.

use std::any::Any;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::dispatch::{self, CmdArg, Command};
use super::session::Leaving;
use super::{FTPHandler, FTPSession, data, dispatchers};
use crate::ioloop::panic_text;
use crate::log::TARGET;
use crate::offload::{self, PoolFull};

/// What a session waits for. While there is one no command is looked at.
#[derive(Default)]
pub(crate) struct Parked {
    /// In the order in which their results are handed on.
    works: VecDeque<Work>,
    /// The command that will be replied to, for its line of the log.
    command: Option<LateCommand>,
}

struct Work {
    number: u64,
    then: Then,
    /// That it is done, but not yet its turn.
    result: Option<Box<dyn Any + Send>>,
}

/// Gets the user's handler, the session, and the result.
type Then = Box<dyn FnOnce(&mut dyn Any, &mut FTPSession, Box<dyn Any + Send>)>;

/// The message that brings a result back.
pub(crate) struct Done {
    number: u64,
    /// None: the work has panicked.
    result: Option<Box<dyn Any + Send>>,
}

impl FTPSession {
    /// Does slow work on another thread, and calls `then` with its result, on the
    /// loop. For what would make all sessions wait: a hash of a large file, a
    /// question to a database.
    ///
    /// Until `then` has returned the session is parked: its further commands wait,
    /// QUIT and ABOR too, and it is not timed out; transfers, timers and messages
    /// go on. So the method of a command may call this and return, and `then`
    /// replies. A session may give more than one work: they may be done at the same
    /// time, and each `then` is called in the order in which they were given.
    ///
    /// If the session ends meanwhile, the work goes on to its end, but `then` is
    /// not called; until then the session still counts for `max_cons` and the limits
    /// of its address and user. A client that has only stopped to send is waited for.
    /// A panic in `work` ends the session, like one in a method of the handler.
    ///
    /// The threads are few (2 to 8, by the number of cores), those of all servers
    /// of the process. They do what they are given in its order, in turn for each
    /// address that clients have; up to 1,024 works wait, 512 of one address. The
    /// first one starts them: a process that forks has to do so before. Nothing in
    /// `work` is confined to the user's home, nor
    /// [run as that user](Self::run_as_current_user): open files in the hook, with
    /// [`AbstractedFS::open`](crate::filesystems::AbstractedFS::open), and hand
    /// them over.
    ///
    /// ```
    /// use std::path::Path;
    /// use ftpdlib::{FTPHandler, FTPSession};
    ///
    /// struct Careful;
    ///
    /// impl FTPHandler for Careful {
    ///     fn ftp_site_chmod(&mut self, s: &mut FTPSession, _: &Path, mode: &str) {
    ///         let (user, mode) = (s.username().to_owned(), mode.to_owned());
    ///         let asked = s.offload(
    ///             move || ask_somebody(&user, &mode),
    ///             |s, permitted| match permitted {
    ///                 true => s.respond("200 Taken note of."),
    ///                 false => s.respond("550 Not you."),
    ///             },
    ///         );
    ///         if let Err(full) = asked {
    ///             s.respond(&format!("450 {full}."));
    ///         }
    ///     }
    /// }
    /// # fn ask_somebody(_: &str, _: &str) -> bool { true }
    /// ```
    ///
    /// # Errors
    /// If too many works wait already: neither function is called, and the session
    /// is not parked.
    pub fn offload<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut Self, T) + 'static,
    ) -> Result<(), PoolFull> {
        self.park(work, move |_, s, result| then(s, result))
    }

    /// As [`offload`](Self::offload), where `then` needs the handler too:
    /// `|h: &mut Self, s, result| ..`.
    ///
    /// # Errors
    /// As [`offload`](Self::offload).
    ///
    /// # Panics
    /// When `then` is due, if the handler is not of the type that the server makes
    /// (but one that it consists of): the session ends.
    pub fn offload_with<H: FTPHandler + 'static, T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut H, &mut Self, T) + 'static,
    ) -> Result<(), PoolFull> {
        self.park(work, move |handler, s, result| {
            let handler = handler.downcast_mut();
            let handler = handler.expect("offload_with names the handler of the session");
            then(handler, s, result);
        })
    }

    fn park<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut dyn Any, &mut Self, T) + 'static,
    ) -> Result<(), PoolFull> {
        let number = self.server.next_number();
        let (remote, id) = (self.remote(), self.id());
        let send = move |result| remote.send(id, Box::new(Done { number, result }));
        let slot = self.slot.hold();
        offload::run(self.remote_ip(), move || {
            // Given back when the work is done.
            let _slot = slot;
            match catch_unwind(AssertUnwindSafe(work)) {
                Ok(result) => send(Some(Box::new(result))),
                Err(panic) => {
                    let text = panic_text(&*panic);
                    log::error!(target: TARGET, "work off the loop panicked, its session is closed: {text}");
                    send(None);
                }
            }
        })?;
        let then: Then = Box::new(move |handler, s, result| {
            if let Ok(result) = result.downcast() {
                then(handler, s, *result);
            }
        });
        let parked = self.parked.get_or_insert_default();
        parked.works.push_back(Work {
            number,
            then,
            result: None,
        });
        Ok(())
    }

    /// Whether commands wait for work off the loop.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.is_some()
    }
}

/// A work is done: its result is handed on when those before it are.
pub(crate) fn come_back<H: FTPHandler + 'static>(h: &mut H, s: &mut FTPSession, done: Done) {
    let Some(result) = done.result else {
        s.close();
        return;
    };
    let mut works = s.parked.iter_mut().flat_map(|parked| &mut parked.works);
    if let Some(work) = works.find(|work| work.number == done.number) {
        work.result = Some(result);
    }
    while let Some((then, result)) = next_result(s) {
        s.last_response.clear();
        then(h, s, result);
        log_late(h, s);
        data::forget_replaced(h, s);
    }
    let waits = |parked: &Parked| !parked.works.is_empty();
    if !s.parked.as_deref().is_some_and(waits) {
        unpark(s);
    }
}

/// The result of the work whose turn it is.
fn next_result(s: &mut FTPSession) -> Option<(Then, Box<dyn Any + Send>)> {
    if s.chat.is_closed() {
        return None;
    }
    let works = &mut s.parked.as_mut()?.works;
    let result = works.front_mut()?.result.take()?;
    let then = works.pop_front()?.then;
    Some((then, result))
}

fn unpark(s: &mut FTPSession) {
    s.parked = None;
    if s.idle.is_some() {
        s.restart_idle();
    }
    if s.leaving == Leaving::Quit && !dispatchers::transfer_active(s) {
        s.close_when_done();
    }
}

/// A command has returned without a reply.
pub(super) fn reply_late(s: &mut FTPSession, cmd: &Command<'_>) {
    if let Some(parked) = &mut s.parked
        && parked.command.is_none()
    {
        parked.command = Some(LateCommand::new(cmd));
    }
}

/// Logs the command that waited for its reply, if this has come.
fn log_late<H: FTPHandler>(h: &mut H, s: &mut FTPSession) {
    let command = s.parked.as_mut().and_then(|parked| parked.command.take());
    let Some(command) = command else { return };
    if !dispatch::log_reply(h, s, &command.name, &command.arg())
        && let Some(parked) = &mut s.parked
    {
        parked.command = Some(command);
    }
}

/// A command that outlives its line.
struct LateCommand {
    name: String,
    arg: LateArg,
}

/// [`CmdArg`], owned.
enum LateArg {
    None,
    Text(String),
    Name(OsString),
    Path(PathBuf),
    Mode(String, PathBuf),
    Time(String, PathBuf),
}

impl LateCommand {
    fn new(cmd: &Command<'_>) -> Self {
        let arg = match cmd.arg {
            CmdArg::None => LateArg::None,
            CmdArg::Text(text) => LateArg::Text(text.to_owned()),
            CmdArg::Name(name) => LateArg::Name(name.to_owned()),
            CmdArg::Path(path) => LateArg::Path(path.to_owned()),
            CmdArg::Mode(mode, path) => LateArg::Mode(mode.to_owned(), path.to_owned()),
            CmdArg::Time(time, path) => LateArg::Time(time.to_owned(), path.to_owned()),
        };
        let name = cmd.name.to_owned();
        Self { name, arg }
    }

    fn arg(&self) -> CmdArg<'_> {
        match &self.arg {
            LateArg::None => CmdArg::None,
            LateArg::Text(text) => CmdArg::Text(text),
            LateArg::Name(name) => CmdArg::Name(name),
            LateArg::Path(path) => CmdArg::Path(path),
            LateArg::Mode(mode, path) => CmdArg::Mode(mode, path),
            LateArg::Time(time, path) => CmdArg::Time(time, path),
        }
    }
}
