//! The settings of TLS: wrong files, certificates that are replaced, and self-signed
//! certificates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

use ftpdlib::handlers::StockHandler;
use ftpdlib::{CertFiles, ClientAuth, FTPConfig, FTPServer, TlsConfig, TlsError};
use testkit::authority::Pair;
use testkit::write_wrong_files;

fn bind(address: &str, tls: TlsConfig) -> std::io::Result<FTPServer> {
    let mut config = FTPConfig::default();
    config.tls = Some(tls);
    FTPServer::bind(address, config, |_peer| StockHandler)
}

/// Returns the error of TLS that a server cannot be made with.
fn wrong(address: &str, tls: TlsConfig) -> String {
    let err = bind(address, tls).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::InvalidInput);
    assert!(err.get_ref().unwrap().is::<TlsError>(), "{err}");
    err.to_string()
}

/// The error comes before the server listens: here it could not listen.
#[test]
fn wrong_files_are_errors_before_it_listens() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let prefix = format!("{}/", dir.path().display());
    for &(certfile, keyfile, expected) in write_wrong_files(dir.path()) {
        let mut tls = TlsConfig::new(dir.path().join(certfile));
        tls.keyfile = keyfile.map(|keyfile| dir.path().join(keyfile));
        let text = wrong(&address, tls).replace(&prefix, "");
        assert_eq!(text, expected, "{certfile} {keyfile:?}");
    }
}

#[test]
fn files_of_other_certificates_are_checked_too() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::new(&["localhost"]);
    let prefix = format!("{}/", dir.path().display());
    let tls = || TlsConfig::with_certificate(vec![pair.der.clone()], pair.key_der()).unwrap();
    for &(certfile, keyfile, expected) in write_wrong_files(dir.path()) {
        let mut tls = tls();
        tls.certificates = vec![CertFiles {
            certfile: dir.path().join(certfile),
            keyfile: keyfile.map(|keyfile| dir.path().join(keyfile)),
        }];
        let text = wrong("127.0.0.1:0", tls).replace(&prefix, "");
        assert_eq!(text, expected, "{certfile} {keyfile:?}");
    }
    for (client_ca, expected) in [
        (
            "none.pem",
            "none.pem: cannot be read: No such file or directory",
        ),
        ("empty.pem", "empty.pem: holds no certificate in PEM"),
        ("junk.pem", "junk.pem: certificate 1 is damaged: replace it"),
    ] {
        let mut tls = tls();
        tls.client_auth = ClientAuth::Required;
        tls.client_ca = Some(dir.path().join(client_ca));
        let text = wrong("127.0.0.1:0", tls);
        assert!(text.ends_with(expected), "{text}");
    }
    // A certificate of an authority may be of this old version.
    let mut tls = tls();
    tls.client_auth = ClientAuth::Optional;
    tls.client_ca = Some(dir.path().join("v1.pem"));
    assert!(bind("127.0.0.1:0", tls).is_ok());
}

/// A renewal that is late must not turn a reboot into an outage.
#[test]
fn expired_files_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let expired = Pair::with(&["localhost"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    });
    let certfile = dir.path().join("expired.pem");
    fs::write(&certfile, expired.both()).unwrap();
    let mut tls = TlsConfig::new(&certfile);
    tls.client_auth = ClientAuth::Optional;
    tls.client_ca = Some(certfile.clone());
    let server = bind("127.0.0.1:0", tls).unwrap();
    assert!(server.reload_tls().is_ok());
}

#[test]
fn what_is_wrong_with_new_files_is_returned() {
    let dir = tempfile::tempdir().unwrap();
    let (certfile, keyfile) = Pair::new(&["localhost"]).write(dir.path(), "good");
    let mut tls = TlsConfig::new(&certfile);
    tls.keyfile = Some(keyfile.clone());
    let server = bind("127.0.0.1:0", tls).unwrap();
    assert!(server.reload_tls().is_ok());
    fs::remove_file(&keyfile).unwrap();
    let text = server.reload_tls().unwrap_err().to_string();
    assert!(text.contains("good.key: cannot be read: "), "{text}");

    let plain = FTPServer::bind("127.0.0.1:0", FTPConfig::default(), |_peer| StockHandler);
    assert!(plain.unwrap().reload_tls().is_ok());
}

/// The program in its own process.
#[cfg(feature = "cli")]
mod program {
    use std::fs;
    use std::net::SocketAddr;
    use std::process::Command;
    use std::sync::Arc;

    use ftpdlib::fingerprint;
    use tempfile::TempDir;
    use testkit::authority::{Pair, client};
    use testkit::{Client, Program, wait_for};

    /// Starts the program in a directory.
    fn start(dir: TempDir, args: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ftpdlib"));
        command
            .args(["-i", "127.0.0.1", "-p", "0"])
            .args(args)
            .current_dir(dir.path());
        Program::spawn(command, dir)
    }

    /// Returns the level and the text of a line about TLS that the program logs after it has
    /// started, by its number.
    fn tls_line(program: &Program, number: usize) -> String {
        let mut found = None;
        wait_for("a line about TLS", || {
            let log = program.log();
            let (_, log) = log.split_once("starting FTP server").unwrap();
            let whole = log.split_inclusive('\n');
            let mut lines = whole.filter_map(|line| {
                let (_, text) = line.strip_suffix('\n')?.split_once("] TLS: ")?;
                Some(format!("{} {text}", &line[1..2]))
            });
            found = lines.nth(number);
            found.is_some()
        });
        found.unwrap()
    }

    /// Connects a client that accepts any certificate and has read the greeting.
    fn connect(address: SocketAddr) -> Client {
        let mut client = Client::connect_implicit(address, &Arc::new(client(None)));
        client.expect_reply(220);
        client
    }

    #[test]
    fn a_self_signed_certificate_has_the_printed_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let program = start(dir, &["--tls-self-signed", "--tls-implicit"]);
        let log = program.log();
        let (_, printed) = log.split_once(" SHA-256 fingerprint ").unwrap();
        let printed = printed.lines().next().unwrap();
        program.expect_log(&format!(
            " on ftps://127.0.0.1:{}/\n",
            program.address.port()
        ));
        let mut client = connect(program.address);
        assert_eq!(fingerprint(&client.certificate()), printed);
        client.expect(221, "QUIT");
    }

    #[test]
    fn an_expired_certificate_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let expired = Pair::with(&["localhost"], |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 2);
        });
        fs::write(dir.path().join("both.pem"), expired.both()).unwrap();
        let toml = "[tls]\ncertfile = 'both.pem'\nimplicit = true\n[anonymous]\nhome = '.'\n";
        fs::write(dir.path().join("ftpd.toml"), toml).unwrap();
        let warning = "TLS: both.pem: the certificate has expired on 2020-01-02 00:00:00 UTC: \
                       clients refuse it, renew it\n";
        let program = start(dir, &["--config", "ftpd.toml"]);
        let log = program.log();
        let line = log.lines().find(|line| line.contains("expired")).unwrap();
        assert!(line.starts_with("[W ") && log.contains(warning), "{line}");
        assert!(connect(program.address).certificate() == expired.der);
        program.signal("HUP");
        assert!(tls_line(&program, 0).starts_with("W both.pem: the certificate has expired"));
        assert_eq!(tls_line(&program, 1), "I certificates read again");
    }

    #[test]
    fn certificates_are_replaced_at_sighup() {
        let dir = tempfile::tempdir().unwrap();
        let certfile = dir.path().join("both.pem");
        let (old, new) = (Pair::new(&["localhost"]), Pair::new(&["localhost"]));
        fs::write(&certfile, old.both()).unwrap();
        let toml = "[tls]\ncertfile = 'both.pem'\nimplicit = true\n[anonymous]\nhome = '.'\n";
        fs::write(dir.path().join("ftpd.toml"), toml).unwrap();
        let mut program = start(dir, &["--config", "ftpd.toml"]);
        let mut open = connect(program.address);

        fs::write(&certfile, &new.certificate).unwrap();
        program.signal("HUP");
        assert_eq!(
            tls_line(&program, 0),
            "W certificates not replaced: both.pem: holds no private key in PEM, \
             and there is no keyfile"
        );
        assert!(connect(program.address).certificate() == old.der);

        fs::write(&certfile, new.both()).unwrap();
        program.signal("HUP");
        assert_eq!(tls_line(&program, 1), "I certificates read again");
        let mut client = connect(program.address);
        assert!(client.certificate() == new.der);
        open.expect(221, "QUIT");
        client.expect(221, "QUIT");

        program.signal("TERM");
        assert_eq!(program.wait().code(), Some(0));
    }
}
