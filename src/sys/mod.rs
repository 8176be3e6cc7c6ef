//! The system calls that std does not have, behind safe functions: every `unsafe`
//! block of the crate is here.
//!
//! A call that only some systems have gets a portable replacement in the same file.
//! This module does not know why its callers make a call.

mod attributes;
mod call;
mod credentials;
mod dir;
mod errno;
mod kernel;
mod last_resort;
mod lock;
mod openat;
mod parent;
mod passwd;
mod pid;
mod ports;
mod process;
#[cfg(test)]
pub(crate) mod process_for_tests;
mod rlimit;
mod shared;
mod signals;
mod socket;
mod stderr;
mod terminal;
mod words;

pub(crate) use attributes::{fchmod, free_space, fstat, fstatat, futime};
pub(crate) use credentials::{
    effective_group, effective_user, group_ids, groups, groups_of, set_effective_group,
    set_effective_user, set_group, set_groups, set_user, user_ids,
};
pub(crate) use dir::{DirReader, LARGE_BUFFER};
pub(crate) use kernel::{Pipe, pread, send_more, sendfile};
pub(crate) use last_resort::{LastResort, wake_parent};
pub(crate) use lock::{FileLock, close_copy, file_id, lock_file, unlock_file};
pub(crate) use openat::{
    O_PATH, linkat, mkdirat, openat, openat_beneath, readlinkat, renameat, renameat_new, rmdirat,
    unlinkat,
};
pub(crate) use parent::{end_of_parent, exit_with_parent, signal_at_death_of_parent};
pub(crate) use passwd::{group_by_name, group_name, user_by_name, user_by_number, user_name};
pub(crate) use pid::{Pid, own_pid, process_id};
pub(crate) use process::{Fork, HeldSignals, ended_child, fork, kill, wait};
pub(crate) use rlimit::{FileSizeSignal, open_files, raise_open_files};
pub(crate) use shared::{Held, SharedWords};
pub(crate) use signals::{SignalHandler, end_until_taken_over, notify, set_flag};
pub(crate) use socket::{
    INHERITS_OPTIONS, borrow, connect, control_options, has_room, inherited, limit_send_buffer,
    listen, listen_anywhere, listen_beside, listening, share_port, wait_readable,
};
pub(crate) use stderr::{StandardError, WHOLE};
pub(crate) use terminal::Terminal;
pub(crate) use words::Words;
