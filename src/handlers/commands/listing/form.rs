//! What a listing looks like.

use std::ffi::OsString;

use crate::proto::listing::MlsxFacts;
use crate::proto::pattern::Pattern;

/// What the lines look like.
#[derive(Clone, Copy)]
pub(super) enum Form {
    List,
    Names,
    Facts(MlsxFacts),
}

/// What a pattern has matched so far.
pub(super) struct Matches {
    pub(super) pattern: Pattern,
    /// Precedes each name that is listed.
    pub(super) prefix: OsString,
    /// The first match, if it was found within a bounded amount of work.
    pub(super) first: Option<OsString>,
}
