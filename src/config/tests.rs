//! Settings of whole files and command lines.

mod accounts;
mod errors;
mod files;
mod flags;
mod keys;
mod listen;
