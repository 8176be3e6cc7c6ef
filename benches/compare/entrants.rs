//! The servers, and how each is set up: alike as far as they permit it, and otherwise with what
//! costs them least.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::common::{Speech, Tls, USER, Which, python, words};
use crate::packages::Package;

/// A server that takes part.
pub enum Entrant {
    Ours(Which),
    Vsftpd(Package),
    Proftpd(Package),
    PureFtpd(Package),
    /// A loop that shows what the kernel alone costs.
    Bare,
}

/// Returns the servers that can be started, ftpdlib first and the bare loop last; and a line
/// about each one that cannot.
pub fn entrants() -> (Vec<Entrant>, Vec<String>) {
    let mut entrants = vec![Entrant::Ours(Which::Ftpdlib)];
    let mut notes = Vec::new();
    match python() {
        Some(_) => entrants.push(Entrant::Ours(Which::Pyftpdlib)),
        None => notes.push(
            "pyftpdlib is left out: no python in FTPDLIB_BENCH_PYTHON that has pyftpdlib==2.2.0 and pyOpenSSL"
                .into(),
        ),
    }
    let packages: [(_, fn(_) -> _); 3] = [
        (&["vsftpd"][..], Entrant::Vsftpd),
        (&["proftpd-core", "proftpd-mod-crypto"], Entrant::Proftpd),
        (&["pure-ftpd", "pure-ftpd-common"], Entrant::PureFtpd),
    ];
    // These change their user and root directory.
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    for (names, entrant) in packages {
        let package = match root {
            true => Package::get(names),
            false => Err("only root can start it".into()),
        };
        match package {
            Ok(package) => {
                notes.push(package.version.clone());
                entrants.push(entrant(package));
            }
            Err(why) => notes.push(format!("{} is left out: {why}", names[0])),
        }
    }
    entrants.push(Entrant::Bare);
    (entrants, notes)
}

impl Entrant {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ours(which) => which.name(),
            Self::Vsftpd(_) => "vsftpd",
            Self::Proftpd(_) => "proftpd",
            Self::PureFtpd(_) => "pure-ftpd",
            Self::Bare => BARE,
        }
    }

    /// Whether it can speak so. The bare loop has no TLS.
    pub fn speaks(&self, speech: Speech) -> bool {
        speech == Speech::Clear || !matches!(self, Self::Bare)
    }

    /// Whether it can do the work of a row.
    pub fn can(&self, row: &str) -> bool {
        match self {
            Self::Vsftpd(_) => row != "mlsd",
            Self::Bare => !["list", "mlsd", "many"].contains(&row),
            _ => true,
        }
    }

    pub fn package(&self) -> Option<&Package> {
        match self {
            Self::Vsftpd(package) | Self::Proftpd(package) | Self::PureFtpd(package) => {
                Some(package)
            }
            Self::Ours(_) | Self::Bare => None,
        }
    }

    /// Returns its program and options.
    pub fn command(&self, place: &Place<'_>) -> Vec<OsString> {
        let path = |package: &Package, path| package.path(path).into_os_string();
        match self {
            Self::Ours(which) => {
                let words = words(*which, place.address, place.tls, place.home);
                words.into_iter().map(OsString::from).collect()
            }
            Self::Bare => vec![env::current_exe().unwrap().into()],
            Self::Vsftpd(package) => {
                let config = place.write("vsftpd.conf", &vsftpd(place));
                vec![path(package, "usr/sbin/vsftpd"), config]
            }
            Self::Proftpd(package) => {
                let config = place.write("proftpd.conf", &proftpd(place, package));
                let mut words = vec![path(package, "usr/sbin/proftpd")];
                words.extend(["-n", "-q", "-c"].map(OsString::from));
                words.push(config);
                words
            }
            Self::PureFtpd(package) => {
                let mut words = vec![path(package, "usr/sbin/pure-ftpd")];
                words.extend(pure_ftpd(place, package));
                words
            }
        }
    }
}

/// What a server serves, and the directory for its configuration.
pub struct Place<'a> {
    pub address: SocketAddr,
    pub home: &'a Path,
    pub config: &'a Path,
    pub tls: Option<&'a Tls>,
}

impl Place<'_> {
    fn write(&self, name: &str, text: &str) -> OsString {
        let path = self.config.join(name);
        fs::write(&path, text).unwrap();
        path.into_os_string()
    }

    fn certfile(&self) -> Option<&str> {
        self.tls.map(|tls| tls.certfile().to_str().unwrap())
    }
}

/// Anonymous sessions, without PAM and without checking a password, which costs vsftpd least.
fn vsftpd(place: &Place<'_>) -> String {
    let empty = place.config.join("empty");
    let _ = fs::create_dir(&empty);
    let mut text = format!(
        "listen=YES\n\
         listen_address={}\n\
         listen_port={}\n\
         background=NO\n\
         max_clients=0\n\
         max_per_ip=0\n\
         secure_chroot_dir={}\n\
         anonymous_enable=YES\n\
         local_enable=NO\n\
         ftp_username=daemon\n\
         anon_root={}\n\
         write_enable=YES\n\
         anon_upload_enable=YES\n\
         anon_world_readable_only=NO\n\
         xferlog_enable=NO\n",
        place.address.ip(),
        place.address.port(),
        empty.display(),
        place.home.display(),
    );
    if let Some(certfile) = place.certfile() {
        text += &format!(
            "ssl_enable=YES\n\
             allow_anon_ssl=YES\n\
             rsa_cert_file={certfile}\n\
             ssl_ciphers=HIGH\n\
             require_ssl_reuse=NO\n"
        );
    }
    text
}

/// Without the delay at logins, without logs, and with a single authority: otherwise it reads all
/// authorities of the system for each session under TLS.
fn proftpd(place: &Place<'_>, package: &Package) -> String {
    let home = place.home.display();
    let users = format!("{USER}:{PASSWORD_HASH}:{NOBODY}:{NOBODY}::{home}:/bin/false\n");
    let users = place.write("users", &users);
    fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).unwrap();
    let file = |name: &str| place.config.join(name).display().to_string();
    let mut text = format!(
        "ServerType standalone\n\
         DefaultAddress {}\n\
         Port {}\n\
         SocketBindTight on\n\
         UseIPv6 off\n\
         UseReverseDNS off\n\
         MaxInstances none\n\
         User nobody\n\
         Group nogroup\n\
         AuthUserFile {}\n\
         AuthOrder mod_auth_file.c\n\
         RequireValidShell off\n\
         DefaultRoot ~\n\
         AllowOverwrite on\n\
         DelayEngine off\n\
         ControlsEngine off\n\
         WtmpLog off\n\
         UseLastlog off\n\
         TransferLog none\n\
         SystemLog none\n\
         PidFile {}\n\
         ScoreboardFile {}\n",
        place.address.ip(),
        place.address.port(),
        Path::new(&users).display(),
        file("pid"),
        file("scoreboard"),
    );
    if let Some(certfile) = place.certfile() {
        let module = "mod_tls.so";
        let mut directories = package.libraries();
        directories.push(package.path("usr/lib"));
        let mut directories = directories.iter().map(|path| path.join("proftpd"));
        let modules = directories.find(|path| path.join(module).exists());
        text += &format!(
            "ModulePath {}\n\
             LoadModule mod_tls.c\n\
             TLSEngine on\n\
             TLSProtocol TLSv1.3\n\
             TLSECCertificateFile {certfile}\n\
             TLSECCertificateKeyFile {certfile}\n\
             TLSCACertificateFile {certfile}\n\
             TLSLog none\n",
            modules.expect("mod_tls").display(),
        );
    }
    text
}

fn pure_ftpd(place: &Place<'_>, package: &Package) -> Vec<OsString> {
    let home = place.home.display();
    let users = format!("{USER}:{PASSWORD_HASH}:{NOBODY}:{NOBODY}::{home}/./::::::::::::\n");
    let users = place.write("users", &users);
    let database = place.config.join("users.pdb");
    let made = Command::new(package.path("usr/bin/pure-pw"))
        .env("LD_LIBRARY_PATH", libraries(package))
        .arg("mkdb")
        .args([database.as_os_str(), "-f".as_ref(), &users])
        .status();
    assert!(made.is_ok_and(|status| status.success()), "pure-pw");
    let mut login = OsString::from("puredb:");
    login.push(database);
    let mut words = vec![OsString::from("-l"), login, "-g".into()];
    words.push(place.config.join("pid").into());
    let bind = format!("{},{}", place.address.ip(), place.address.port());
    // Only users with a home, no anonymous ones, no look-up of host names, no log; as many
    // sessions and entries of a listing as needed here.
    let options = ["-A", "-E", "-H", "-4", "-f", "none", "-u", "1"];
    words.extend(options.map(OsString::from));
    words.extend(["-c", "10000", "-L", "100000:9", "-S", &bind].map(OsString::from));
    if let Some(certfile) = place.certfile() {
        words.extend(["-Y", "1", "-2", certfile].map(OsString::from));
    }
    words
}

/// Returns the search path for the dynamic linker.
pub fn libraries(package: &Package) -> OsString {
    env::join_paths(package.libraries()).unwrap()
}

/// The name of the loop that is no server and cannot win.
pub const BARE: &str = "bare loop";

/// [`PASSWORD`](crate::common::PASSWORD) as the cheapest hash of crypt(3), since the cost of
/// passwords is not measured.
const PASSWORD_HASH: &str = "ab80DAu2C3JN6";

/// The user and group of files, for servers that need them.
const NOBODY: u32 = 65534;
