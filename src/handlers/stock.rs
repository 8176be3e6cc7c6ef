//! The handler that overrides nothing; and each handler as the stock bodies see it.

use std::any::{Any, TypeId};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::command::{CmdArg, Command};
use super::data::DTPHandler;
use super::handler::FTPHandler;
use super::hooks::{Hooks, for_each_hook};
use super::session::{FTPSession, Overrides, TimerId};
use super::transfer_log::TransferLog;
use crate::error::AuthenticationFailed;
use crate::filesystems::{AbstractedFS, OpenMode};
use crate::ioloop::Stream;
use crate::proto::command::CommandLine;
use crate::proto::reply::Reply;

/// The handler that overrides nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct StockHandler;

impl FTPHandler for StockHandler {}

/// The functions of a handler that have no `self`; `None` if it is the stock handler.
pub(super) fn overrides<H: FTPHandler + 'static>() -> Option<&'static Overrides<FTPSession>> {
    let is_stock = TypeId::of::<H>() == TypeId::of::<StockHandler>();
    let overrides = const {
        &Overrides {
            respond: H::respond,
            log: H::log,
        }
    };
    (!is_stock).then_some(overrides)
}

macro_rules! implement {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl<H: FTPHandler + ?Sized> Hooks for H {
            $(fn $name(&mut self, $($arg: $type),*) $(-> $result)? {
                FTPHandler::$name(self, $($arg),*)
            })*
        }
    };
}

for_each_hook!(implement);
