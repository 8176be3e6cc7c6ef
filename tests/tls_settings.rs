//! What TLS is set up with: wrong files, certificates that are replaced, and one
//! that is made for the occasion.

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

/// What is wrong with TLS, from the only place that can tell.
fn wrong(address: &str, tls: TlsConfig) -> String {
    let err = bind(address, tls).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::InvalidInput);
    assert!(err.get_ref().unwrap().is::<TlsError>(), "{err}");
    err.to_string()
}

/// They are told before it listens: here it could not.
#[test]
fn wrong_files_are_told_before_it_listens() {
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
        ("junk.pem", "junk.pem: certificate 1 is damaged"),
        (
            "expired.pem",
            "expired.pem: certificate 1 has expired on 2020-01-02 00:00:00 UTC",
        ),
    ] {
        let mut tls = tls();
        tls.client_auth = ClientAuth::Required;
        tls.client_ca = Some(dir.path().join(client_ca));
        let text = wrong("127.0.0.1:0", tls);
        assert!(text.ends_with(expected), "{text}");
    }
    // Of an authority, even such an old one is as good as any.
    let mut tls = tls();
    tls.client_auth = ClientAuth::Optional;
    tls.client_ca = Some(dir.path().join("v1.pem"));
    assert!(bind("127.0.0.1:0", tls).is_ok());
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

/// The program as a process.
#[cfg(feature = "cli")]
mod program {
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::path::Path;
    use std::process::{Child, ChildStderr, Command, Stdio};
    use std::sync::Arc;
    use std::time::Duration;

    use ftpdlib::fingerprint;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConnection, StreamOwned};

    use testkit::{authority::Pair, authority::client};

    struct Process {
        child: Child,
        address: SocketAddr,
        /// The log up to where it listens.
        start: String,
        log: BufReader<ChildStderr>,
    }

    impl Process {
        /// In a directory, on a port of the system's choice.
        fn start(dir: &Path, args: &[&str]) -> Self {
            let mut child = Command::new(env!("CARGO_BIN_EXE_ftpdlib"))
                .args(["-i", "127.0.0.1", "-p", "0"])
                .args(args)
                .current_dir(dir)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut log = BufReader::new(child.stderr.take().unwrap());
            let mut start = String::new();
            let address = loop {
                let before = start.len();
                assert_ne!(log.read_line(&mut start).unwrap(), 0, "{start}");
                let line = start[before..].split_once(">>> starting FTP server on ");
                if let Some((_, rest)) = line {
                    break rest.split(',').next().unwrap().parse().unwrap();
                }
            };
            Self {
                child,
                address,
                start,
                log,
            }
        }

        fn signal(&self, name: &str) {
            let kill = format!("kill -{name} {}", self.child.id());
            let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
            assert!(status.success());
        }

        /// The next line of the log that speaks of TLS.
        fn tls_line(&mut self) -> String {
            loop {
                let mut line = String::new();
                assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "it has ended");
                if let Some((_, text)) = line.trim_end().split_once("] TLS: ") {
                    return format!("{} {text}", &line[1..2]);
                }
            }
        }
    }

    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// A connection with TLS from its first byte.
    struct Client(BufReader<StreamOwned<ClientConnection, TcpStream>>);

    impl Client {
        fn connect(address: SocketAddr) -> Self {
            let socket = TcpStream::connect(address).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let tls = ClientConnection::new(Arc::new(client(None)), name).unwrap();
            let mut client = Self(BufReader::new(StreamOwned::new(tls, socket)));
            client.expect("220 ");
            client
        }

        fn expect(&mut self, reply: &str) {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            assert!(line.starts_with(reply), "{line}");
        }

        fn certificate(&self) -> CertificateDer<'static> {
            let certificates = self.0.get_ref().conn.peer_certificates();
            certificates.unwrap()[0].clone().into_owned()
        }

        fn still_works(&mut self) {
            self.0.get_mut().write_all(b"QUIT\r\n").unwrap();
            self.expect("221 ");
        }
    }

    #[test]
    fn a_self_signed_certificate_has_the_printed_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::start(dir.path(), &["--tls-self-signed", "--tls-implicit"]);
        let (_, printed) = process.start.split_once(" SHA-256 fingerprint ").unwrap();
        let printed = printed.lines().next().unwrap();
        let url = format!(" on ftps://127.0.0.1:{}/\n", process.address.port());
        assert!(process.start.contains(&url), "{}", process.start);
        let mut client = Client::connect(process.address);
        assert_eq!(fingerprint(&client.certificate()), printed);
        client.still_works();
    }

    #[test]
    fn certificates_are_replaced_at_sighup() {
        let dir = tempfile::tempdir().unwrap();
        let certfile = dir.path().join("both.pem");
        let (old, new) = (Pair::new(&["localhost"]), Pair::new(&["localhost"]));
        fs::write(&certfile, old.both()).unwrap();
        let toml = "[tls]\ncertfile = 'both.pem'\nimplicit = true\n";
        fs::write(dir.path().join("ftpd.toml"), toml).unwrap();
        let mut process = Process::start(dir.path(), &["--config", "ftpd.toml"]);
        let mut open = Client::connect(process.address);

        fs::write(&certfile, &new.certificate).unwrap();
        process.signal("HUP");
        assert_eq!(
            process.tls_line(),
            "W certificates not replaced: both.pem: holds no private key in PEM, \
             and there is no keyfile"
        );
        assert!(Client::connect(process.address).certificate() == old.der);

        fs::write(&certfile, new.both()).unwrap();
        process.signal("HUP");
        assert_eq!(process.tls_line(), "I certificates read again");
        let mut client = Client::connect(process.address);
        assert!(client.certificate() == new.der);
        open.still_works();
        client.still_works();

        process.signal("TERM");
        assert_eq!(process.child.wait().unwrap().code(), Some(0));
    }

    /// Without TLS SIGHUP ends it, as any program; that is for the
    /// system to do.
    #[cfg(target_os = "linux")]
    #[test]
    fn sighup_is_caught_where_there_is_tls() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("both.pem"),
            Pair::new(&["localhost"]).both(),
        )
        .unwrap();
        for (args, expected) in [
            ([].as_slice(), false),
            (&["--tls-self-signed"], true),
            (&["--tls", "--certfile", "both.pem"], true),
        ] {
            let process = Process::start(dir.path(), args);
            let status = format!("/proc/{}/status", process.child.id());
            let status = fs::read_to_string(status).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
            // Bit 0 is of signal 1.
            assert_eq!(caught & 1 == 1, expected, "{args:?}");
        }
    }
}
