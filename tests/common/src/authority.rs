//! Certificates, and TLS clients that accept any certificate.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    SignatureAlgorithm,
};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::version::TLS12;
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, SignatureScheme,
    SupportedProtocolVersion,
};

/// A certificate and its key.
pub struct Pair {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// The certificate, in PEM.
    pub certificate: String,
    /// The key, in PEM.
    pub key: String,
    params: CertificateParams,
    key_pair: KeyPair,
}

impl Pair {
    /// Makes a self-signed certificate with an ECDSA key for these host names.
    pub fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {})
    }

    /// The same, with parameters that `change` has changed.
    pub fn with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self::of_key(key, names, change)
    }

    /// The same, with a key of another kind.
    pub fn of_kind(kind: &'static SignatureAlgorithm, names: &[&str]) -> Self {
        Self::of_key(KeyPair::generate_for(kind).unwrap(), names, |_| {})
    }

    /// The same, with an RSA key; it is always the same one, since making one takes long.
    pub fn rsa(names: &[&str]) -> Self {
        let key = KeyPair::from_pem(include_str!("../rsa_key.pem")).unwrap();
        Self::of_key(key, names, |_| {})
    }

    /// Makes the self-signed certificate of an authority, as `openssl req -x509` does.
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

    /// Makes a certificate that this authority has signed.
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

    /// Writes `name.pem` and `name.key`; returns both paths.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let path = |kind| directory.join(format!("{name}.{kind}"));
        fs::write(path("pem"), &self.certificate).unwrap();
        fs::write(path("key"), &self.key).unwrap();
        (path("pem"), path("key"))
    }

    /// Returns certificate and key in one text.
    pub fn both(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }

    /// Returns the key.
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_pair.serialize_der()).into()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

/// A client that accepts any certificate whose key the server has, and that presents this
/// one.
pub fn client(shown: Option<&Pair>) -> ClientConfig {
    client_with(shown, SCHEMES)
}

/// A client that knows only TLS 1.2.
pub fn old_client() -> ClientConfig {
    any_server(&[&TLS12], SCHEMES).with_no_client_auth()
}

/// A client that knows only these signature schemes.
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
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.to_vec()
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    let provider = CryptoProvider::get_default().unwrap();
    provider.signature_verification_algorithms
}

const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
];
