//! What few sessions have: it is in a box of its own, which an idle session does not need.

use super::overrides::Handled;
use super::own::OwnSettings;
use super::timers::Timers;
use super::verdict::Verdict;

/// What few sessions have.
#[derive(Default)]
pub(crate) struct Rare {
    pub(super) timers: Timers,
    /// The settings of the session.
    pub(super) own: Option<Box<OwnSettings>>,
    /// The settings of the login.
    pub(super) user_own: Option<Box<OwnSettings>>,
    /// What a hook decides about the final reply of a transfer.
    pub(super) verdict: Verdict,
    /// The reply that the handler handles.
    pub(super) handled: Handled,
}

impl Rare {
    /// The settings of the login and of the session, in the order in which they count.
    pub(super) fn layers(&self) -> impl Iterator<Item = &OwnSettings> {
        let layers = [&self.user_own, &self.own].into_iter().flatten();
        layers.map(|own| &**own)
    }
}
