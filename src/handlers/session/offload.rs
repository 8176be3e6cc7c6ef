//! Jobs that a session gives to the pool.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::state::FTPSession;
use crate::ioloop::panic_text;
use crate::log::TARGET;
use crate::offload::PoolFull;

/// The message that brings the result of a job back.
pub(crate) struct JobDone {
    pub(crate) number: u64,
    /// `None`: the job has panicked.
    pub(crate) result: Option<Box<dyn Any + Send>>,
}

impl FTPSession {
    /// Runs `work` on another thread, and then calls `then` with its result on the loop. Use it
    /// for what would make all sessions wait: a hash of a large file, a question to a database.
    ///
    /// Until `then` has returned, the session is *parked*: it reads no further commands, not
    /// even QUIT and ABOR, and it does not time out. Transfers, timers and messages continue.
    /// So the method of a command may call this function and return, and `then` replies. A
    /// session may run several jobs. They may run at the same time; each `then` is called in
    /// the order of the calls of this function.
    ///
    /// If the session ends meanwhile, the job runs to its end, but `then` is not called. Until
    /// the job has ended, the session still counts for `max_cons` and for the limits of its
    /// address and user. A client that has only shut down its sending side is waited for. A
    /// panic in `work` ends the session, like a panic in a method of the handler.
    ///
    /// The pool has 2 to 8 threads, by the number of cores, for all servers of the process.
    /// Jobs run in the order in which they were given, but the clients' addresses take turns.
    /// At most 1,024 jobs wait, and at most 512 of one address. The first job starts the
    /// threads: a process that forks must do so before. `work` is not confined to the user's
    /// home and does not [run as that user](Self::run_as_current_user): open files in the hook,
    /// with [`AbstractedFS::open`](crate::filesystems::AbstractedFS::open), and move them into
    /// `work`.
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
    ///             move || ask_service(&user, &mode),
    ///             |s, permitted| match permitted {
    ///                 true => s.respond("200 The request is noted."),
    ///                 false => s.respond("550 Not permitted."),
    ///             },
    ///         );
    ///         if let Err(full) = asked {
    ///             s.respond(format!("450 {full}."));
    ///         }
    ///     }
    /// }
    /// # fn ask_service(_: &str, _: &str) -> bool { true }
    /// ```
    ///
    /// # Errors
    /// Too many jobs wait already. Neither function is called, and the session is not parked.
    pub fn offload<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut Self, T) + 'static,
    ) -> Result<(), PoolFull> {
        self.park(work, move |_, s, result| then(s, result))
    }

    /// As [`offload`](Self::offload), but `then` also gets the handler:
    /// `|h: &mut Self, s, result| ..`.
    ///
    /// # Errors
    /// As [`offload`](Self::offload).
    ///
    /// # Panics
    /// When `then` is due, if the handler is not of the type that the server makes, but for
    /// example a part of it. The panic ends the session.
    pub fn offload_with<H: 'static, T: Send + 'static>(
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
        let send = move |result| remote.send(id, Box::new(JobDone { number, result }));
        let slot = self.slot.hold();
        self.server.pool.run(self.remote_ip(), move || {
            // The slots are given back when the job has ended.
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
        let then = Box::new(
            move |handler: &mut dyn Any, s: &mut Self, result: Box<dyn Any + Send>| {
                if let Ok(result) = result.downcast() {
                    then(handler, s, *result);
                }
            },
        );
        self.parked.get_or_insert_default().push(number, then);
        Ok(())
    }
}
