//! Certificates and keys that a server must refuse.

use std::fs;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::authority::Pair;

/// Writes files that no server can use, and returns them with the errors.
pub fn write_wrong_files(directory: &Path) -> &'static [WrongFiles] {
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    let good = Pair::new(&["localhost"]);
    good.write(directory, "good");
    Pair::new(&["localhost"]).write(directory, "other");
    Pair::rsa(&["localhost"]).write(directory, "rsa");
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

/// A certificate of X.509 version 1, which is not accepted.
pub fn version_1() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap()
}

/// A certificate of X.509 version 1, as `openssl x509 -req -signkey` makes it.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBEjCBuQIUXOadFjwF4GNYyRN3rPKRprIeggQwCgYIKoZIzj0EAwIwDDEKMAgG
A1UEAwwBeDAeFw0yNjExMjIyMDM0MzNaFw0yNjEyMjIyMDM0MzNaMAwxCjAIBgNV
BAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT837uRbAolfitoQi1NPIkE
AXp7Ml5aFvQ6qDy2NhKUpZ1mVofd3cyrEjVsjyjGmSldpdE3S0zXLZefHGWHcKA7
MAoGCCqGSM49BAMCA0gAMEUCIQD1GAfta/bxX3aQO2rC+QnEJ9y2D/uNGJAEcFhn
zv4s1AIgceg4NURcPZmZaqA1jI3UDj3yFftA9pnOjRU5iY29iXk=
-----END CERTIFICATE-----
";

/// A key with a passphrase, as far as it can be read without it.
const ENCRYPTED_KEY: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAc
-----END ENCRYPTED PRIVATE KEY-----
";

/// The same in the older format.
const ENCRYPTED_RSA_KEY: &str = "\
-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,8C1B5CDEE4F3B15A9B0F6B6B0A4C6E1F

MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAc
-----END RSA PRIVATE KEY-----
";

/// The file of the certificate, that of the key if there is one, and the error.
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
        "cut.pem: its PEM cannot be read: replace it",
    ),
    (
        "junk.pem",
        None,
        "junk.pem: the certificate is damaged, or not of X.509 version 3: replace it",
    ),
    (
        "v1.pem",
        None,
        "v1.pem: the certificate is damaged, or not of X.509 version 3: replace it",
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
        "junk.key: the private key is damaged, or of a kind that is not supported: use ECDSA, Ed25519 or RSA",
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
