//! What users of the crate rely on without naming it: threads, errors, and names for
//! all that signatures speak of. That it compiles is the test.

use std::error::Error;
use std::fmt::Debug;

use ftpdlib::authorizers::{Authorizer, DummyAuthorizer, LaterVerdict};
use ftpdlib::filesystems::{AbstractedFS, FSFile, LocalFS, UnixFilesystem};
use ftpdlib::handlers::TransferError;
use ftpdlib::ioloop::{ChannelId, Remote};
use ftpdlib::log::{Level, LevelFilter, SetLoggerError};
use ftpdlib::proto::address::InvalidAddress;
use ftpdlib::proto::encoding::DecodeError;
use ftpdlib::proto::listing::InvalidFacts;
use ftpdlib::{
    AuthenticationFailed, AuthorizerError, FSError, FTPConfig, FilesystemError, PoolFull,
    TlsConfig, TlsError, mio, rustls,
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
    shared::<Remote>();
    shared::<ChannelId>();
    shared::<LaterVerdict>();
    fn of_one_s_own<T: Send + ?Sized>() {}
    of_one_s_own::<dyn Authorizer>();
    of_one_s_own::<dyn AbstractedFS>();
    of_one_s_own::<dyn FSFile>();
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

/// Of the versions that signatures have.
#[test]
fn other_crates_can_be_had_from_here() {
    let _ = mio::Interest::READABLE;
    let _: Option<rustls::sign::CertifiedKey> = None;
    let _: Option<rustls::pki_types::PrivateKeyDer<'static>> = None;
    assert!(LevelFilter::Info >= Level::Info);
}
