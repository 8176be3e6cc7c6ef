//! What users of the crate rely on without naming it: types that can go to other threads, errors
//! that work with `?`, and public names for all types in signatures. These tests pass if they
//! compile.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use ftpdlib::authorizers::{Authorizer, DummyAuthorizer, LaterVerdict};
use ftpdlib::filesystems::{AbstractedFS, FSFile, FSState, LocalFS, NoFS, UnixFilesystem};
use ftpdlib::handlers::{TransferError, UserFS};
use ftpdlib::ioloop::{ChannelId, Remote};
use ftpdlib::log::{Level, LevelFilter, SetLoggerError};
use ftpdlib::proto::address::InvalidAddress;
use ftpdlib::proto::encoding::DecodeError;
use ftpdlib::proto::listing::InvalidFacts;
use ftpdlib::{
    AuthenticationFailed, AuthorizerError, FSError, FTPConfig, FilesystemError, PoolFull,
    ServerHandle, SessionId, SessionInfo, Sessions, Stop, TlsConfig, TlsError, mio, rustls,
};

fn shared<T: Send + Sync + Debug + 'static>() {}
fn error<T: Error + Send + Sync + 'static>() {}

#[test]
fn what_a_server_shares_goes_through_threads() {
    shared::<FTPConfig>();
    shared::<TlsConfig>();
    shared::<DummyAuthorizer>();
    shared::<LocalFS>();
    shared::<UnixFilesystem>();
    shared::<NoFS>();
    shared::<FSState>();
    shared::<UserFS>();
    shared::<Sessions>();
    shared::<SessionId>();
    shared::<SessionInfo>();
    shared::<Arc<DummyAuthorizer>>();
    fn decides<T: Authorizer>() {}
    decides::<Arc<DummyAuthorizer>>();
    decides::<Box<dyn Authorizer>>();
    decides::<Arc<dyn Authorizer>>();
    shared::<Remote>();
    shared::<ChannelId>();
    shared::<LaterVerdict>();
    shared::<Stop>();
    shared::<ServerHandle>();
    fn owned<T: Send + ?Sized>() {}
    owned::<dyn Authorizer>();
    owned::<dyn AbstractedFS>();
    owned::<dyn FSFile>();
}

#[test]
fn errors_go_with_a_question_mark() {
    error::<AuthenticationFailed>();
    error::<AuthorizerError>();
    error::<DecodeError>();
    error::<FSError>();
    error::<FilesystemError>();
    error::<InvalidAddress>();
    error::<InvalidFacts>();
    error::<PoolFull>();
    error::<SetLoggerError>();
    error::<TlsError>();
    error::<TransferError>();
}

/// The versions are those that the signatures use.
#[test]
fn other_crates_can_be_had_from_here() {
    let _ = mio::Interest::READABLE;
    let _: Option<rustls::sign::CertifiedKey> = None;
    let _: Option<rustls::pki_types::PrivateKeyDer<'static>> = None;
    assert!(LevelFilter::Info >= Level::Info);
}
