//! Why TLS has failed, in words that an administrator can act on. The words of rustls are for
//! programmers: no line of the log and no reply has them.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
    PeerMisbehaved,
};

/// An error of rustls, which is its source. It is displayed in plain words.
#[derive(Debug)]
struct Failure(Error);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(&self.0))
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// The error of a connection.
pub(super) fn failed(err: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Failure(err))
}

/// What the first bytes of a client are, if they are not TLS.
pub(super) fn not_tls(first: &[u8]) -> Option<&'static str> {
    const METHODS: [&[u8]; 7] = [
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"PUT ",
        b"OPTIONS ",
        b"CONNECT ",
        b"PRI ",
    ];
    match first {
        // A record of a handshake, of an alert, or of any other type.
        [0x14..=0x17, 0x03, ..] | [0x14..=0x17] | [] => None,
        _ if METHODS.iter().any(|method| first.starts_with(method)) => {
            Some("the client has sent an HTTP request instead of TLS")
        }
        [b'S', b'S', b'H', b'-', ..] => Some("the client speaks SSH instead of TLS"),
        [0x80..=0xff, _, 1, ..] => Some("the client begins with SSL 2.0: it needs TLS 1.2 or 1.3"),
        [b' '..=b'~', ..] => Some(
            "the client has sent plain text instead of TLS: \
             it may be set to FTP in clear, or to the other kind of FTPS (explicit, implicit)",
        ),
        _ => Some("the client has sent something that is not TLS"),
    }
}

/// Says what has failed, without a full stop.
pub(crate) fn describe(err: &Error) -> String {
    match err {
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidCertificate(err) => of_certificate(err),
        Error::PeerIncompatible(what) => incompatible(what).to_owned(),
        Error::PeerMisbehaved(what) => misbehaved(what).to_owned(),
        Error::InvalidMessage(what) => invalid(what).to_owned(),
        Error::NoCertificatesPresented => {
            "the client has shown no certificate, which client_auth demands".to_owned()
        }
        Error::NoApplicationProtocol => {
            "the client offers other protocols (ALPN), but not \"ftp\"".to_owned()
        }
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the client has sent a TLS message at a wrong time".to_owned()
        }
        Error::DecryptError => {
            "a TLS record cannot be decrypted: it was changed on its way, or the client has other \
             keys"
                .to_owned()
        }
        Error::PeerSentOversizedRecord => {
            "the client has sent a TLS record that is too long".into()
        }
        Error::InvalidCertRevocationList(_) => "a list of revoked certificates is invalid".into(),
        Error::FailedToGetCurrentTime => "the system has not told the time".to_owned(),
        Error::FailedToGetRandomBytes => "the system has given no random numbers".to_owned(),
        Error::InconsistentKeys(_) => "the private key does not match the certificate".to_owned(),
        Error::General(text) if text.contains("no server certificate") => {
            "the server has no certificate for the client".to_owned()
        }
        _ => "TLS has failed inside the server".to_owned(),
    }
}

/// A time as `2026-11-22 17:00:00 UTC`.
pub(crate) fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => format!("{seconds} seconds after 1970"),
    }
}

/// The client has ended the handshake with an alert (RFC 8446 §6).
fn of_alert(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::UnknownCA => {
            "the client does not trust the authority of the server's certificate: send the whole \
             chain, or give the client the authority"
        }
        AlertDescription::BadCertificate => {
            "the client refuses the server's certificate: it does not trust it, or the name does \
             not match"
        }
        AlertDescription::CertificateExpired => {
            "the client holds the server's certificate for expired: renew it, or set the clocks"
        }
        AlertDescription::CertificateUnknown => "the client refuses the server's certificate",
        AlertDescription::CertificateRevoked => {
            "the client holds the server's certificate for revoked"
        }
        AlertDescription::UnsupportedCertificate => {
            "the client does not support the kind of the server's certificate"
        }
        AlertDescription::NoCertificate => "the client has no certificate to show",
        AlertDescription::ProtocolVersion => {
            "the client does not accept the version of TLS: it needs TLS 1.2 or 1.3"
        }
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "the client has found no cipher suite or key exchange that it accepts"
        }
        AlertDescription::InappropriateFallback => {
            "the client has tried an older version of TLS than both sides support"
        }
        AlertDescription::UnrecognisedName => {
            "the client expects a certificate for another host name"
        }
        AlertDescription::NoApplicationProtocol => {
            "the client does not accept the protocol \"ftp\""
        }
        AlertDescription::AccessDenied => "the client denies the access",
        AlertDescription::UserCanceled => "the user of the client has cancelled the handshake",
        AlertDescription::CloseNotify => "the client has ended TLS",
        AlertDescription::NoRenegotiation => "the client refuses a new handshake",
        AlertDescription::BadRecordMac
        | AlertDescription::DecryptionFailed
        | AlertDescription::DecryptError => {
            "the client cannot decrypt a message, or verify a signature: something between both \
             sides may change the bytes"
        }
        AlertDescription::InternalError => "the client reports an error of its own",
        AlertDescription::UnexpectedMessage
        | AlertDescription::DecodeError
        | AlertDescription::IllegalParameter
        | AlertDescription::RecordOverflow
        | AlertDescription::MissingExtension
        | AlertDescription::UnsupportedExtension
        | AlertDescription::DecompressionFailure => {
            "the client does not understand a message of the server"
        }
        _ => "the client has ended TLS",
    };
    match name(alert) {
        Some(name) => format!("{text} (alert {name})"),
        None => format!("{text} (alert {})", u8::from(alert)),
    }
}

/// The name of an alert that is about a certificate or settings (RFC 8446 §6).
fn name(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::HandshakeFailure => "handshake_failure",
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::UnsupportedCertificate => "unsupported_certificate",
        AlertDescription::CertificateRevoked => "certificate_revoked",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::ProtocolVersion => "protocol_version",
        AlertDescription::InsufficientSecurity => "insufficient_security",
        AlertDescription::UnrecognisedName => "unrecognized_name",
        AlertDescription::NoApplicationProtocol => "no_application_protocol",
        AlertDescription::UserCanceled => "user_canceled",
        _ => return None,
    })
}

/// The certificate of the client is refused.
fn of_certificate(err: &CertificateError) -> String {
    let text = match err {
        CertificateError::ExpiredContext { not_after, .. } => {
            return format!(
                "the client's certificate has expired on {}",
                date(*not_after)
            );
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let date = date(*not_before);
            return format!("the client's certificate is not valid before {date}");
        }
        CertificateError::Expired => "the client's certificate has expired",
        CertificateError::NotValidYet => "the client's certificate is not valid yet",
        CertificateError::UnknownIssuer => {
            "the client's certificate is not from an authority in client_ca"
        }
        CertificateError::Revoked => "the client's certificate is revoked",
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "whether the client's certificate is revoked is not known"
        }
        CertificateError::BadEncoding => "the client's certificate is damaged",
        CertificateError::BadSignature => {
            "the signature of the client or of its certificate is wrong, or by an RSA key that is \
             shorter than 2,048 bits"
        }
        CertificateError::UnhandledCriticalExtension => {
            "the client's certificate has a critical extension that is not supported"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the client's certificate is not for clients: its extended key usage lacks clientAuth"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the client's certificate is for another name"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the client's certificate is signed in a way that is not supported: use ECDSA, \
             Ed25519, or RSA with SHA-256"
        }
        CertificateError::ApplicationVerificationFailure => "the client's certificate is refused",
        CertificateError::Other(err) => of_other(err),
        _ => "the client's certificate cannot be verified",
    };
    text.to_owned()
}

/// Errors of the verifier that rustls has no names for. Only their names can be compared.
fn of_other(err: &OtherError) -> &'static str {
    match &*err.0.to_string() {
        "UnsupportedCertVersion" => {
            "the client's certificate is of X.509 version 1: make one of version 3"
        }
        "CaUsedAsEndEntity" => {
            "the client's certificate is that of an authority: make one for the client"
        }
        "EndEntityUsedAsCa" => {
            "the client's certificate was issued by a certificate that is not an authority"
        }
        "PathLenConstraintViolated" | "NameConstraintViolation" => {
            "an authority may not issue the client's certificate"
        }
        "InvalidCertValidity" => "the client's certificate expires before it becomes valid",
        "MaximumPathBuildCallsExceeded"
        | "MaximumPathDepthExceeded"
        | "MaximumSignatureChecksExceeded"
        | "MaximumNameConstraintComparisonsExceeded" => {
            "the chain of the client's certificate is too long"
        }
        _ => "the client's certificate cannot be verified",
    }
}

/// The client does not support what the server needs.
fn incompatible(what: &PeerIncompatible) -> &'static str {
    match what {
        PeerIncompatible::NoCipherSuitesInCommon => {
            "there is no common cipher suite: the client offers only weak ones, or none for the \
             kind of the certificate (ECDSA, RSA)"
        }
        PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired => {
            "there is no common key exchange: the client must support X25519, P-256 or P-384"
        }
        PeerIncompatible::NoSignatureSchemesInCommon => {
            "there is no common signature scheme: the client does not support the kind of the \
             server's key"
        }
        // No older hello has the extension (RFC 5246 §7.4.1.4.1), and every newer one has it.
        PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
            "the client offers only versions before TLS 1.2: it must support 1.3 or, if \
             min_version allows it, 1.2"
        }
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "there is no common signature scheme for the certificate of the client"
        }
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired => {
            "there is no common version of TLS: the client must support 1.3 or, if min_version \
             allows it, 1.2"
        }
        PeerIncompatible::ExtendedMasterSecretExtensionRequired => {
            "the client does not support extended master secrets (RFC 7627)"
        }
        PeerIncompatible::EcPointsExtensionRequired
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::UncompressedEcPointsRequired => {
            "the client does not support uncompressed points of elliptic curves"
        }
        PeerIncompatible::NullCompressionRequired => "the client demands compression",
        PeerIncompatible::IncorrectCertificateTypeExtension
        | PeerIncompatible::UnsolicitedCertificateTypeExtension => {
            "the client does not accept X.509 certificates"
        }
        _ => "the client does not support something in TLS that the server needs",
    }
}

/// The client has broken a rule of TLS.
fn misbehaved(what: &PeerMisbehaved) -> &'static str {
    match what {
        PeerMisbehaved::IncorrectBinder => {
            "the client has offered a ticket without knowing its secret"
        }
        PeerMisbehaved::TooManyRenegotiationRequests => {
            "the client asks for a new handshake on the same connection again and again"
        }
        PeerMisbehaved::TooMuchEarlyDataReceived => {
            "the client has sent data before the end of the handshake"
        }
        PeerMisbehaved::TooManyEmptyFragments
        | PeerMisbehaved::TooManyKeyUpdateRequests
        | PeerMisbehaved::TooManyWarningAlertsReceived => {
            "the client has sent too many TLS messages without data"
        }
        PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme
        | PeerMisbehaved::SignedKxWithWrongAlgorithm => {
            "the client has signed with a scheme that was not offered to it"
        }
        _ => "the client has broken a rule of TLS",
    }
}

/// The client has sent bytes that are no message.
fn invalid(what: &InvalidMessage) -> &'static str {
    match what {
        InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion => {
            "the client has sent something that is not TLS"
        }
        InvalidMessage::CertificatePayloadTooLarge
        | InvalidMessage::HandshakePayloadTooLarge
        | InvalidMessage::MessageTooLarge => "the client has sent a TLS message that is too long",
        InvalidMessage::NoSignatureSchemes | InvalidMessage::MissingKeyExchange => {
            "the client offers no key exchange or no signature scheme"
        }
        InvalidMessage::UnsupportedCompression => "the client demands compression",
        InvalidMessage::InvalidServerName => "the client has sent a host name that is invalid",
        _ => "the client has sent a damaged TLS message",
    }
}

#[cfg(test)]
mod tests;
