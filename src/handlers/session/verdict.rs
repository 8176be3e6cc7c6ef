//! The final reply of a transfer, where a hook decides about it.

use super::state::FTPSession;
use crate::handlers::data::Ended;
use crate::proto::reply::Reply;

impl FTPSession {
    /// Replaces the final reply of the transfer for which
    /// [`confirm_transfer`](crate::FTPHandler::confirm_transfer) was called: in that method, or in
    /// the `then` of a job that it has given to [`offload`](Self::offload). The last call counts.
    /// At other times it has no effect.
    ///
    /// If the method has begun jobs, the final reply waits until the session has no more of them.
    /// Meanwhile the session reads no command, no time-out counts, and no other upload gets the
    /// file. If the session ends before, the transfer counts as incomplete, and has no reply. The
    /// file of a transfer that does not stay complete is not removed.
    ///
    /// With a code from 200 to 299 the transfer stays complete. With one from 400 to 599 it counts
    /// as incomplete, in the log and for the callbacks. Another code would not be a final reply:
    /// the client gets 451, and the log says why.
    pub fn set_final_reply(&mut self, reply: impl Into<Reply>) {
        if self.may_decide {
            self.rare().verdict.reply = Some(reply.into());
        }
    }

    /// Calls a hook that may decide about the final reply of a transfer. Returns whether it has
    /// begun jobs.
    pub(crate) fn ask_about_reply(&mut self, hook: impl FnOnce(&mut Self)) -> bool {
        let jobs = self.jobs();
        self.may_decide = true;
        hook(self);
        self.jobs() > jobs
    }

    /// The final reply of this transfer waits until the session has no more jobs.
    pub(crate) fn hold_reply(&mut self, ended: Ended) {
        self.rare().verdict.held = Some(Box::new(ended));
    }

    /// Whether a transfer is over whose final reply waits for jobs. If so: whether it was an upload.
    pub(crate) fn held_reply(&self) -> Option<bool> {
        let held = self.rare.as_ref()?.verdict.held.as_ref();
        held.map(|ended| ended.receive)
    }

    /// Takes the transfer whose final reply waits for jobs.
    pub(crate) fn take_held_reply(&mut self) -> Option<Ended> {
        let held = self.rare.as_mut()?.verdict.held.take();
        held.map(|ended| *ended)
    }

    /// What was decided; from now on nothing is.
    pub(crate) fn take_verdict(&mut self) -> Option<Reply> {
        self.may_decide = false;
        let reply = self.rare.as_mut()?.verdict.reply.take();
        self.tidy();
        reply
    }

    /// How many jobs the session waits for.
    fn jobs(&self) -> usize {
        self.parked.as_ref().map_or(0, |parked| parked.len())
    }
}
