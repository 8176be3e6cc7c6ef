//! The lines of directory listings: LIST as `ls -l`, MLSD and MLST with facts.
//!
//! A line depends on an entry, on the style of its listing and on the time "now" that the style
//! was given. Which entries there are, and how they are looked up, is not known here.

mod calendar;
mod facts;
mod lines;
mod stat;

pub use self::facts::{InvalidFacts, MlsxFacts};
pub use self::lines::{ListEntry, ListingStyle, Names};
pub use self::stat::Stat;
