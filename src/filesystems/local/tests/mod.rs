//! The stock bodies, each test over both ways of looking paths up.

mod attributes;
mod directories;
mod files;
pub(in crate::filesystems) mod fixture;
mod home;
mod links;
mod races;
