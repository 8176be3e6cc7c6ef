//! An answer to a login that comes later.

use std::fmt;

use crate::error::AuthenticationFailed;

/// The result of [`Authorizer::authenticate`](super::Authorizer::authenticate).
#[derive(Debug)]
pub enum Verdict {
    /// The answer.
    Now(Result<(), AuthenticationFailed>),
    /// The answer will come through the [`LaterVerdict`].
    Later,
}

/// The right to answer a login later, from any thread. A value that is dropped without an
/// answer refuses the login, which does not count as a failure of the client.
pub struct LaterVerdict {
    /// `None` once it has answered.
    answers: Option<Box<dyn Answers>>,
}

/// How an answer reaches the session that waits for it: what the login gives to a
/// [`LaterVerdict`].
pub(crate) trait Answers: Send + Sync {
    /// Hands the answer to the session, if it still exists.
    fn answer(&self, result: Result<(), AuthenticationFailed>);

    /// Runs `work` on the pool, and answers with its result. The session's slots count until
    /// the job has ended. If the pool does not take the job, the login is refused at once.
    fn offload(self: Box<Self>, work: Work) -> Verdict;
}

/// What finds out the answer.
pub(crate) type Work = Box<dyn FnOnce() -> Result<(), AuthenticationFailed> + Send>;

impl LaterVerdict {
    pub(crate) fn new(answers: Box<dyn Answers>) -> Self {
        Self {
            answers: Some(answers),
        }
    }

    /// Answers. Nothing happens if the session has ended.
    pub fn answer(mut self, result: Result<(), AuthenticationFailed>) {
        self.send(result);
    }

    /// Runs `work` on the pool of
    /// [`FTPSession::offload`](crate::FTPSession::offload), under the same rules, and answers
    /// with its result: for a password hash, or for a question to a database. If too many jobs
    /// wait already, the login is refused.
    pub fn offload(
        mut self,
        work: impl FnOnce() -> Result<(), AuthenticationFailed> + Send + 'static,
    ) -> Verdict {
        match self.answers.take() {
            Some(answers) => answers.offload(Box::new(work)),
            None => Verdict::Now(Err(AuthenticationFailed::unavailable(""))),
        }
    }

    fn send(&mut self, result: Result<(), AuthenticationFailed>) {
        if let Some(answers) = self.answers.take() {
            answers.answer(result);
        }
    }
}

impl Drop for LaterVerdict {
    fn drop(&mut self) {
        self.send(Err(AuthenticationFailed::unavailable("")));
    }
}

impl fmt::Debug for LaterVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaterVerdict").finish_non_exhaustive()
    }
}
