//! Lines of listings.
use crate::filesystems::Stat;
use std::ffi::OsStr;
use std::path::Path;
/// Look-ups.
pub struct Names<'a> {
    user: Box<dyn Fn(u32) -> String + 'a>,
    group: Box<dyn Fn(u32) -> String + 'a>,
}
impl<'a> Names<'a> {
    /// New.
    pub fn new(user: impl Fn(u32) -> String + 'a, group: impl Fn(u32) -> String + 'a) -> Self {
        Self {
            user: Box::new(user),
            group: Box::new(group),
        }
    }
}
/// An entry.
pub struct ListEntry<'a> {
    /// Name.
    pub name: &'a OsStr,
    /// Attributes.
    pub stat: &'a Stat,
    /// Link target.
    pub target: Option<&'a Path>,
}
/// Facts.
pub struct MlsxFacts;
/// Style.
pub struct ListingStyle;
impl ListingStyle {
    /// LIST.
    pub fn list_line(&mut self, _names: Names<'_>, _entry: &ListEntry<'_>, _out: &mut Vec<u8>) {}
    /// MLSx.
    pub fn mlsx_line(&mut self, _facts: &MlsxFacts, _entry: &ListEntry<'_>, _out: &mut Vec<u8>) {}
}
