//! Makes a certificate for one run, so that FTPS can be tried with one command.

use std::net::IpAddr;

use ftpdlib::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use ftpdlib::{TlsConfig, fingerprint};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// Makes a certificate for this host and for those of `others` that are names or
/// addresses. Returns TLS settings with nothing but the certificate, and its fingerprint.
pub(super) fn make(others: &[&str]) -> Result<(TlsConfig, String), String> {
    let cannot = |err: rcgen::Error| format!("cannot make a self-signed certificate: {err}");
    let mut params = CertificateParams::new(names(others)).map_err(cannot)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "ftpdlib, self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let start_of = |day: Date| {
        let (month, number) = (day.month().unsigned_abs(), day.day().unsigned_abs());
        date_time_ymd(day.year().into(), month, number)
    };
    // The clock of a client may be slow, so begin a day early.
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    params.not_before = start_of(today.saturating_sub(1.day()));
    params.not_after = start_of(today.saturating_add(1.year()));

    // The key is ECDSA with P-256, which every client supports. rcgen derives the serial
    // number from it, so certificates of different runs have different numbers.
    let key = KeyPair::generate().map_err(cannot)?;
    let certificate = CertificateDer::from(params.self_signed(&key).map_err(cannot)?);
    let fingerprint = fingerprint(&certificate);
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = TlsConfig::with_certificate(vec![certificate], key.into());
    Ok((config.map_err(|err| err.to_string())?, fingerprint))
}

/// The names and addresses that clients on this and other hosts may use.
fn names(others: &[&str]) -> Vec<String> {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_str().unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    for name in ["localhost", "127.0.0.1", "::1", host].iter().chain(others) {
        let is_all = name.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
        let is_known = names.iter().any(|known| known == name);
        if !is_all && !is_known && ServerName::try_from(*name).is_ok() {
            names.push((*name).to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_clients_may_use() {
        let names = names(&[
            "0.0.0.0",
            "::",
            "",
            "192.0.2.7",
            "::1",
            "two words",
            "ftp.example",
        ]);
        assert_eq!(names[..3], ["localhost", "127.0.0.1", "::1"]);
        assert!(names.ends_with(&["192.0.2.7".into(), "ftp.example".into()]));
        assert!(names.len() <= 6, "{names:?}");
    }

    #[test]
    fn no_two_certificates_are_alike() {
        let (config, one) = make(&[]).unwrap();
        let (_, other) = make(&[]).unwrap();
        assert_ne!(one, other);
        let certified = config.certified_key.unwrap();
        assert_eq!(fingerprint(&certified.cert[0]), one);
        assert_eq!(one.len(), 32 * 3 - 1);
        let is_hex = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(one.split(':').all(is_hex) && one == one.to_uppercase());
    }
}
