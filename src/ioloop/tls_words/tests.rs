//! The words for each kind of error.

use std::sync::Arc;

use rustls::{ContentType, HandshakeType};

use super::*;

#[test]
fn first_bytes_say_what_the_client_speaks() {
    for tls in [&b"\x16\x03\x01\x02\x00\x01"[..], b"\x15\x03", b"\x16", b""] {
        assert_eq!(not_tls(tls), None, "{tls:?}");
    }
    for (first, word) in [
        (&b"USER joe\r\n"[..], "plain text"),
        (b"AUTH TLS\r\n", "plain text"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\x80\x2e\x01\x03\x01", "SSL 2.0"),
        (b"\0\0\0", "not TLS"),
        (b"\x16\x99", "not TLS"),
    ] {
        let text = not_tls(first).unwrap();
        assert!(text.contains(word), "{first:?}: {text}");
    }
}

#[test]
fn errors_of_certificates_are_in_plain_words() {
    let other = |text: &str| {
        let inner: Arc<dyn StdError + Send + Sync> = Arc::from(io::Error::other(text));
        CertificateError::Other(OtherError(inner))
    };
    let past = UnixTime::since_unix_epoch(std::time::Duration::ZERO);
    let time = UnixTime::now();
    check(vec![
        (other("UnsupportedCertVersion").into(), "X.509 version 1"),
        (other("CaUsedAsEndEntity").into(), "that of an authority"),
        (other("SomethingNew").into(), "cannot be verified"),
        (
            CertificateError::ExpiredContext {
                time,
                not_after: past,
            }
            .into(),
            "has expired on 1970-01-01 00:00:00 UTC",
        ),
        (
            CertificateError::NotValidYetContext {
                time,
                not_before: past,
            }
            .into(),
            "not valid before 1970-01-01 00:00:00 UTC",
        ),
        (CertificateError::UnknownIssuer.into(), "client_ca"),
        (CertificateError::Revoked.into(), "revoked"),
        (CertificateError::InvalidPurpose.into(), "clientAuth"),
        (CertificateError::BadSignature.into(), "2,048 bits"),
    ]);
}

#[test]
fn errors_of_handshakes_are_in_plain_words() {
    check(vec![
        (
            PeerIncompatible::NoKxGroupsInCommon.into(),
            "no common key exchange",
        ),
        (
            PeerIncompatible::NoCipherSuitesInCommon.into(),
            "no common cipher suite",
        ),
        (
            PeerIncompatible::Tls12NotOfferedOrEnabled.into(),
            "no common version",
        ),
        (
            PeerIncompatible::NoSignatureSchemesInCommon.into(),
            "no common signature",
        ),
        (
            PeerIncompatible::SignatureAlgorithmsExtensionRequired.into(),
            "only versions before TLS 1.2",
        ),
        (PeerMisbehaved::IncorrectBinder.into(), "ticket"),
        (PeerMisbehaved::InvalidKeyShare.into(), "broken a rule"),
        (InvalidMessage::InvalidContentType.into(), "not TLS"),
        (InvalidMessage::MessageTooShort.into(), "damaged"),
        (Error::NoCertificatesPresented, "no certificate"),
        (Error::NoApplicationProtocol, "ALPN"),
        (Error::DecryptError, "decrypted"),
        (Error::FailedToGetRandomBytes, "random"),
        (
            Error::General("incompatible signing key".to_owned()),
            "TLS has failed",
        ),
        (
            Error::InappropriateMessage {
                expect_types: vec![ContentType::Handshake],
                got_type: ContentType::ApplicationData,
            },
            "at a wrong time",
        ),
        (
            Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::ClientHello],
                got_type: HandshakeType::Finished,
            },
            "at a wrong time",
        ),
    ]);
}

/// Whatever rustls reports, no line has its own words.
fn check(errors: Vec<(Error, &str)>) {
    for (err, words) in errors {
        let text = failed(err.clone()).to_string();
        assert!(text.contains(words), "{err:?}: {text}");
        let has_type_name = text.split(|c: char| !c.is_alphanumeric()).any(|word| {
            let capitals = word.chars().skip(1).filter(|c| c.is_uppercase()).count();
            let is_mixed = word.chars().any(char::is_lowercase) && capitals > 0;
            is_mixed && word != "clientAuth"
        });
        assert!(!has_type_name && !text.contains("::"), "{err:?}: {text}");
    }
}

#[test]
fn each_alert_has_words() {
    for number in 0..=u8::MAX {
        let alert = AlertDescription::from(number);
        let text = describe(&Error::AlertReceived(alert));
        let named = name(alert).map_or_else(|| format!("alert {number})"), ToOwned::to_owned);
        assert!(text.contains(&named), "{number}: {text}");
        assert!(text.starts_with("the "), "{number}: {text}");
    }
}
