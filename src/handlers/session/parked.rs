//! What a session keeps while it waits for jobs on the pool.

use std::any::Any;
use std::collections::VecDeque;

use crate::handlers::command::OwnedCommand;

/// The jobs that a session waits for. While there is one, the session reads no command.
///
/// `S` is the session. It is a parameter because the session owns this value.
pub(crate) struct Parked<S> {
    /// In the order in which their results are handed to the hooks.
    jobs: VecDeque<Job<S>>,
    /// The command that a result will reply to, for its line of the log.
    pub(crate) command: Option<OwnedCommand>,
}

struct Job<S> {
    number: u64,
    then: Then<S>,
    /// The result, if the job has ended before those in front of it.
    result: Option<Box<dyn Any + Send>>,
}

/// Gets the user's handler, the session, and the result of the job.
pub(crate) type Then<S> = Box<dyn FnOnce(&mut dyn Any, &mut S, Box<dyn Any + Send>)>;

impl<S> Parked<S> {
    pub(crate) fn push(&mut self, number: u64, then: Then<S>) {
        self.jobs.push_back(Job {
            number,
            then,
            result: None,
        });
    }

    /// Keeps the result of a job until it is its turn.
    pub(crate) fn set_result(&mut self, number: u64, result: Box<dyn Any + Send>) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.number == number) {
            job.result = Some(result);
        }
    }

    /// Takes the job whose turn it is, if it has ended.
    pub(crate) fn take_next(&mut self) -> Option<(Then<S>, Box<dyn Any + Send>)> {
        let result = self.jobs.front_mut()?.result.take()?;
        let then = self.jobs.pop_front()?.then;
        Some((then, result))
    }

    /// How many jobs there are.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there is no job left.
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

impl<S> Default for Parked<S> {
    fn default() -> Self {
        Self {
            jobs: VecDeque::new(),
            command: None,
        }
    }
}
