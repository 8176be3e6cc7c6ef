//! Tests of the stock bodies. Most of them run with both ways to look up a path.

mod attributes;
mod checks;
mod directories;
mod files;
pub(crate) mod fixture;
mod home;
mod links;
mod races;
