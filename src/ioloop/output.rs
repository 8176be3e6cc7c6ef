//! The output of a conversation that is not sent yet.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::producer::{More, Producer};
use super::stream::Stream;
use crate::log::Seldom;

/// The output that is not sent yet: first bytes, then producers and the bytes behind them.
#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    sent: usize,
    /// Boxed, since most conversations never have a producer.
    #[allow(
        clippy::box_collection,
        reason = "three words less for each idle session"
    )]
    queue: Option<Box<VecDeque<Item>>>,
}

enum Item {
    Bytes(Vec<u8>),
    Producer(Box<dyn Producer>),
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.queue.is_none()
    }

    /// Takes out the bytes that come before all producers.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        let bytes = self.bytes.split_off(self.sent);
        self.bytes = Vec::new();
        self.sent = 0;
        bytes
    }

    pub(super) fn size(&self) -> usize {
        let queued = self.queue.as_ref().map_or(0, |queue| {
            let sizes = queue.iter().map(|item| match item {
                Item::Bytes(bytes) => bytes.len(),
                Item::Producer(_) => 0,
            });
            sizes.sum()
        });
        self.bytes.len() - self.sent + queued
    }

    /// Whether output is still to be produced.
    pub(super) fn has_producer(&self) -> bool {
        self.queue.is_some()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let Some(queue) = &mut self.queue else {
            self.bytes.extend_from_slice(bytes);
            return;
        };
        match queue.back_mut() {
            Some(Item::Bytes(last)) => last.extend_from_slice(bytes),
            _ => queue.push_back(Item::Bytes(bytes.to_vec())),
        }
    }

    pub(super) fn push_with_producer(&mut self, producer: Box<dyn Producer>) {
        let queue = self.queue.get_or_insert_default();
        queue.push_back(Item::Producer(producer));
    }

    pub(super) fn flush(&mut self, stream: &mut Stream) -> io::Result<bool> {
        let mut budget = OUTPUT_BUDGET;
        let end = self.queue.as_ref();
        let end = end.map(|_| stream.clock().tick() + OUTPUT_TIME);
        // Each call makes at least one step, however late it is.
        let mut refilled = false;
        loop {
            while self.sent < self.bytes.len() {
                if budget == 0 {
                    return Ok(true);
                }
                let Some(sent) = stream.write(&self.bytes[self.sent..])? else {
                    return Ok(false);
                };
                self.sent += sent;
                budget = budget.saturating_sub(sent);
            }
            self.sent = 0;
            self.bytes.clear();
            let late = || refilled && end.is_some_and(|end| stream.clock().tick() >= end);
            if self.queue.is_some() && (budget == 0 || late()) {
                return Ok(true);
            }
            if !self.refill(&mut budget)? {
                // All is sent: an idle conversation holds no memory for output.
                self.bytes = Vec::new();
                return Ok(false);
            }
            refilled = true;
        }
    }

    /// Fills the bytes from the queue. Returns false if the queue is empty.
    fn refill(&mut self, budget: &mut usize) -> io::Result<bool> {
        let Some(queue) = &mut self.queue else {
            return Ok(false);
        };
        match queue.pop_front() {
            Some(Item::Bytes(bytes)) => self.bytes = bytes,
            Some(Item::Producer(mut producer)) => {
                let more = producer.more(&mut self.bytes).unwrap_or_else(|err| {
                    // The producer has failed, and not the connection: go on with what follows.
                    FAILED.warn(format_args!(
                        "a producer failed, so its output ends early: {err}"
                    ));
                    More::End
                });
                if more != More::End {
                    queue.push_front(Item::Producer(producer));
                    // A step that makes no bytes costs time, too.
                    *budget = budget.saturating_sub(1024);
                }
            }
            None => {
                self.queue = None;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A client may cause these warnings again and again.
static FAILED: Seldom = Seldom::new();

/// How long one call makes output.
const OUTPUT_TIME: Duration = Duration::from_millis(1);

/// How many bytes one call sends.
const OUTPUT_BUDGET: usize = 64 * 1024;
