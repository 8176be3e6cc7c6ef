//! What few sessions have: it is in a box of its own, which an idle session does not need.

use super::overrides::Handled;
use super::own::OwnSettings;
use super::timers::Timers;
use crate::handlers::data::Ended;
use crate::proto::reply::Reply;

/// What few sessions have.
///
/// `S` is the session. It is a parameter because the session owns this value.
pub(crate) struct Rare<S> {
    pub(super) timers: Timers<S>,
    /// The settings of the session.
    pub(super) own: Option<Box<OwnSettings>>,
    /// The settings of the login.
    pub(super) user_own: Option<Box<OwnSettings>>,
    /// What a hook decides about the final reply of a transfer.
    pub(super) verdict: Verdict,
    /// The reply that the handler handles.
    pub(super) handled: Handled,
}

impl<S> Default for Rare<S> {
    fn default() -> Self {
        Self {
            timers: Timers::default(),
            own: None,
            user_own: None,
            verdict: Verdict::default(),
            handled: Handled::default(),
        }
    }
}

impl<S> Rare<S> {
    /// Whether the session has nothing of this.
    pub(super) fn is_empty(&self) -> bool {
        let has_settings = self.own.is_some() || self.user_own.is_some();
        let decides = self.verdict.held.is_some() || self.verdict.reply.is_some();
        let handles = self.handled.place.is_some() || self.handled.raw.is_some();
        self.timers.are_unused() && !has_settings && !decides && !handles
    }

    /// The settings of the login and of the session, in the order in which they count.
    pub(super) fn layers(&self) -> impl Iterator<Item = &OwnSettings> {
        let layers = [&self.user_own, &self.own].into_iter().flatten();
        layers.map(|own| &**own)
    }
}

/// What a hook has decided about the final reply of a transfer.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) reply: Option<Reply>,
    /// The transfer whose reply waits for the jobs of the hook.
    pub(super) held: Option<Box<Ended>>,
}
