//! Certificates for tests: right ones, and wrong ones of each kind. And a client
//! of TLS that takes any.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of each test, and public there")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    SignatureAlgorithm, date_time_ymd,
};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::version::TLS12;
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, SignatureScheme,
    SupportedProtocolVersion,
};

/// A certificate with its key.
pub struct Pair {
    pub der: CertificateDer<'static>,
    pub certificate: String,
    pub key: String,
    params: CertificateParams,
    key_pair: KeyPair,
}

impl Pair {
    /// Self-signed, with an ECDSA key, for these host names.
    pub fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {})
    }

    pub fn with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self::of_key(key, names, change)
    }

    /// With a key of another kind.
    pub fn of_kind(kind: &'static SignatureAlgorithm, names: &[&str]) -> Self {
        Self::of_key(KeyPair::generate_for(kind).unwrap(), names, |_| {})
    }

    /// With an RSA key, which takes long to make.
    pub fn rsa(names: &[&str]) -> Self {
        let key = KeyPair::from_pem(include_str!("rsa_key.pem")).unwrap();
        Self::of_key(key, names, |_| {})
    }

    /// As `openssl req -x509` makes them: of an authority, too.
    pub fn authority(name: &str) -> Self {
        Self::with(&["localhost"], |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
        })
    }

    fn of_key(
        key_pair: KeyPair,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = params(names);
        change(&mut params);
        let made = params.self_signed(&key_pair).unwrap();
        Self {
            der: made.der().clone(),
            certificate: made.pem(),
            key: key_pair.serialize_pem(),
            params,
            key_pair,
        }
    }

    /// A certificate from this authority.
    pub fn signs(&self, names: &[&str]) -> Self {
        let issuer = Issuer::from_params(&self.params, &self.key_pair);
        let (params, key_pair) = (params(names), KeyPair::generate().unwrap());
        let made = params.signed_by(&key_pair, &issuer).unwrap();
        Self {
            der: made.der().clone(),
            certificate: made.pem(),
            key: key_pair.serialize_pem(),
            params,
            key_pair,
        }
    }

    /// Writes `name.pem` and `name.key`.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let path = |kind| directory.join(format!("{name}.{kind}"));
        fs::write(path("pem"), &self.certificate).unwrap();
        fs::write(path("key"), &self.key).unwrap();
        (path("pem"), path("key"))
    }

    /// Certificate and key in one text.
    pub fn both(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }

    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_pair.serialize_der()).into()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

/// A client that takes any certificate whose key is there, and shows this one.
pub fn client(shown: Option<&Pair>) -> ClientConfig {
    client_with(shown, SCHEMES)
}

/// One that knows TLS 1.2 alone.
pub fn old_client() -> ClientConfig {
    any_server(&[&TLS12], SCHEMES).with_no_client_auth()
}

/// One that knows these kinds of signatures alone.
pub fn client_with(shown: Option<&Pair>, schemes: &'static [SignatureScheme]) -> ClientConfig {
    let builder = any_server(rustls::ALL_VERSIONS, schemes);
    match shown {
        Some(pair) => builder
            .with_client_auth_cert(vec![pair.der.clone()], pair.key_der())
            .unwrap(),
        None => builder.with_no_client_auth(),
    }
}

fn any_server(
    versions: &[&'static SupportedProtocolVersion],
    schemes: &'static [SignatureScheme],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_protocol_versions(versions)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(schemes)))
}

#[derive(Debug)]
struct AnyServer(&'static [SignatureScheme]);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let provider = CryptoProvider::get_default().unwrap();
        let algorithms = provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let provider = CryptoProvider::get_default().unwrap();
        let algorithms = provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.to_vec()
    }
}

const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
];

/// Writes files that no server can use, and returns the list of them.
pub fn write_wrong_files(directory: &Path) -> &'static [WrongFiles] {
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    let good = Pair::new(&["localhost"]);
    good.write(directory, "good");
    Pair::new(&["localhost"]).write(directory, "other");
    Pair::rsa(&["localhost"]).write(directory, "rsa");
    let expired = Pair::with(&["localhost"], |params| {
        params.not_after = date_time_ymd(2020, 1, 2);
    });
    let future = Pair::with(&["localhost"], |params| {
        params.not_before = date_time_ymd(2999, 12, 31);
    });
    write("expired.pem", &expired.both());
    write("future.pem", &future.both());
    write("chain.pem", &(good.both() + &expired.certificate));
    write("v1.pem", &format!("{VERSION_1}{}", good.key));
    write("empty.pem", "");
    write("cut.pem", &good.certificate[..200]);
    write("junk.pem", &good.both().replace("MII", "MIJ"));
    write("locked.key", ENCRYPTED_KEY);
    write("locked-rsa.key", ENCRYPTED_RSA_KEY);
    write(
        "locked.pem",
        &format!("{}{ENCRYPTED_KEY}", good.certificate),
    );
    write(
        "locked-rsa.pem",
        &format!("{}{ENCRYPTED_RSA_KEY}", good.certificate),
    );
    write("junk.key", &good.key.replace("MIG", "MIH"));
    WRONG_FILES
}

/// A certificate of X.509 version 1, as `openssl x509 -req -signkey` makes it.
pub const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBEjCBuQIUXOadFjwF4GNYyRN3rPKRprIeggQwCgYIKoZIzj0EAwIwDDEKMAgG
A1UEAwwBeDAeFw0yNjExMjIyMDM0MzNaFw0yNjEyMjIyMDM0MzNaMAwxCjAIBgNV
BAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT837uRbAolfitoQi1NPIkE
AXp7Ml5aFvQ6qDy2NhKUpZ1mVofd3cyrEjVsjyjGmSldpdE3S0zXLZefHGWHcKA7
MAoGCCqGSM49BAMCA0gAMEUCIQD1GAfta/bxX3aQO2rC+QnEJ9y2D/uNGJAEcFhn
zv4s1AIgceg4NURcPZmZaqA1jI3UDj3yFftA9pnOjRU5iY29iXk=
-----END CERTIFICATE-----
";

/// A key with a passphrase, as far as anybody gets without it.
pub const ENCRYPTED_KEY: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAc
-----END ENCRYPTED PRIVATE KEY-----
";

/// The same in the older form.
pub const ENCRYPTED_RSA_KEY: &str = "\
-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,8C1B5CDEE4F3B15A9B0F6B6B0A4C6E1F

MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAc
-----END RSA PRIVATE KEY-----
";

/// The file of the certificate, that of the key if there is one, and what is wrong.
type WrongFiles = (&'static str, Option<&'static str>, &'static str);

const WRONG_FILES: &[WrongFiles] = &[
    (
        "none.pem",
        None,
        "none.pem: cannot be read: No such file or directory",
    ),
    (".", None, ".: cannot be read: Is a directory"),
    ("empty.pem", None, "empty.pem: holds no certificate in PEM"),
    (
        "good.key",
        Some("good.pem"),
        "good.key: holds no certificate in PEM",
    ),
    (
        "cut.pem",
        None,
        "cut.pem: is damaged: its PEM cannot be read",
    ),
    (
        "junk.pem",
        None,
        "junk.pem: the certificate is damaged, or not of X.509 version 3",
    ),
    (
        "v1.pem",
        None,
        "v1.pem: the certificate is damaged, or not of X.509 version 3",
    ),
    (
        "expired.pem",
        None,
        "expired.pem: the certificate has expired on 2020-01-02 00:00:00 UTC",
    ),
    (
        "future.pem",
        None,
        "future.pem: the certificate is not valid before 2999-12-31 00:00:00 UTC",
    ),
    (
        "chain.pem",
        None,
        "chain.pem: certificate 2 has expired on 2020-01-02 00:00:00 UTC",
    ),
    (
        "good.pem",
        None,
        "good.pem: holds no private key in PEM, and there is no keyfile",
    ),
    (
        "good.pem",
        Some("none.key"),
        "none.key: cannot be read: No such file or directory",
    ),
    (
        "good.pem",
        Some("empty.pem"),
        "empty.pem: holds no private key in PEM",
    ),
    (
        "good.pem",
        Some("junk.key"),
        "junk.key: the private key is damaged, or of a kind that is not supported",
    ),
    (
        "good.pem",
        Some("other.key"),
        "other.key: the private key does not match the certificate in good.pem",
    ),
    (
        "good.pem",
        Some("rsa.key"),
        "rsa.key: the private key does not match the certificate in good.pem",
    ),
    (
        "good.pem",
        Some("locked.key"),
        "locked.key: the private key is encrypted: it is needed without a passphrase",
    ),
    (
        "good.pem",
        Some("locked-rsa.key"),
        "locked-rsa.key: the private key is encrypted: it is needed without a passphrase",
    ),
    (
        "locked.pem",
        None,
        "locked.pem: the private key is encrypted: it is needed without a passphrase",
    ),
    (
        "locked-rsa.pem",
        None,
        "locked-rsa.pem: the private key is encrypted: it is needed without a passphrase",
    ),
];
