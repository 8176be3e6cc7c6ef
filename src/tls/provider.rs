//! The implementation of the cryptography: that of aws-lc-rs, or else that of ring. What is used
//! of them has the same names in both.

use std::sync::Arc;

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
#[cfg(feature = "aws-lc-rs")]
pub(super) use aws_lc_rs::{aead, hmac};
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use ring::rand::{SecureRandom, SystemRandom};
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
pub(super) use ring::{aead, hmac};
use rustls::crypto::CryptoProvider;
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as implementation;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use rustls::crypto::ring as implementation;

/// The provider that is used, unless a ready-made configuration has another.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(implementation::default_provider())
}

/// Random bytes for secrets; `None` if there are none.
pub(super) fn random<const SIZE: usize>() -> Option<[u8; SIZE]> {
    let mut bytes = [0; SIZE];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}
