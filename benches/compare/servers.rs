//! The servers: how each is started, alike as far as they let one, and what it
//! spends.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs::kx_group;
use tempfile::TempDir;

use crate::bare;
use crate::common::tls::Tls;
use crate::common::{
    ALL_DESCRIPTORS, Client, DEADLINE, Samples, Speech, USER, Which, command, free_address, python,
};
use crate::group::Group;
use crate::packages::Package;

/// Whose server.
pub enum Entrant {
    Ours(Which),
    Vsftpd(Package),
    Proftpd(Package),
    PureFtpd(Package),
    /// What the kernel alone costs.
    Bare,
}

/// Those that are there, ftpdlib first, the bare loop last; and a line for each
/// other.
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
            Self::Ours(Which::Ftpdlib) => "ftpdlib",
            Self::Ours(Which::Pyftpdlib) => "pyftpdlib",
            Self::Vsftpd(_) => "vsftpd",
            Self::Proftpd(_) => "proftpd",
            Self::PureFtpd(_) => "pure-ftpd",
            Self::Bare => BARE,
        }
    }

    /// Whether it speaks so. The bare loop knows no TLS.
    pub fn speaks(&self, speech: Speech) -> bool {
        speech == Speech::Clear || !matches!(self, Self::Bare)
    }

    /// Whether it can do the work of a row.
    pub fn can(&self, row: &str) -> bool {
        match self {
            Self::Vsftpd(_) => row != "mlsd",
            Self::Bare => !["list", "mlsd", "crowd"].contains(&row),
            _ => true,
        }
    }

    fn package(&self) -> Option<&Package> {
        match self {
            Self::Vsftpd(package) | Self::Proftpd(package) | Self::PureFtpd(package) => {
                Some(package)
            }
            Self::Ours(_) | Self::Bare => None,
        }
    }

    /// Its program and options.
    fn command(&self, place: &Place<'_>) -> Vec<OsString> {
        let path = |package: &Package, path| package.path(path).into_os_string();
        match self {
            Self::Ours(which) => {
                let words = command(*which, place.address, place.tls, place.home);
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

/// Where a server serves, and where its configuration lies.
struct Place<'a> {
    address: SocketAddr,
    home: &'a Path,
    config: &'a Path,
    tls: Option<&'a Tls>,
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

/// Anonymous sessions, without PAM and a look at a password: what costs it
/// least.
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

/// Without what delays logins, without logs, and with a single authority: else
/// it reads all of the system's for each session under TLS.
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
    // Users in their home, none anonymous, no names of hosts, no log; as many
    // sessions and entries of a listing as there are here.
    let options = ["-A", "-E", "-H", "-4", "-f", "none", "-u", "1"];
    words.extend(options.map(OsString::from));
    words.extend(["-c", "10000", "-L", "100000:9", "-S", &bind].map(OsString::from));
    if let Some(certfile) = place.certfile() {
        words.extend(["-Y", "1", "-2", certfile].map(OsString::from));
    }
    words
}

/// A server in a group of its own, which ends with this value.
pub struct Server {
    name: &'static str,
    user: &'static str,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    child: Child,
    group: Option<Group>,
    _config: TempDir,
}

impl Server {
    pub fn start(entrant: &Entrant, speech: Speech, home: &Path) -> Self {
        let group = Group::new().unwrap_or_else(|err| panic!("{err}: {NO_GROUP}"));
        let config = tempfile::tempdir().unwrap();
        // The only group that all of them know.
        let tls = (speech == Speech::Tls).then(|| Tls::with_groups(vec![kx_group::SECP256R1]));
        let address = free_address();
        let words = entrant.command(&Place {
            address,
            home,
            config: config.path(),
            tls: tls.as_deref(),
        });
        let script = format!(
            "echo $$ >{} && {ALL_DESCRIPTORS}",
            group.entrance().display()
        );
        let mut command = Command::new("timeout");
        // Should this bench end without a word, the server ends, too.
        command
            .args(["--foreground", "--signal=KILL", LIFETIME])
            .args(["sh", "-c", &script, "sh"])
            .args(words)
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(package) = entrant.package() {
            command.env("LD_LIBRARY_PATH", libraries(package));
        } else if matches!(entrant, Entrant::Bare) {
            command.env(bare::PORT, address.port().to_string());
        }
        let mut server = Self {
            name: entrant.name(),
            user: match entrant {
                Entrant::Vsftpd(_) => "anonymous",
                _ => USER,
            },
            address,
            tls,
            child: command.spawn().unwrap(),
            group: Some(group),
            _config: config,
        };
        server.wait();
        server
    }

    /// Until it listens.
    fn wait(&mut self) {
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < end, "{} does not start", self.name);
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended", self.name);
            thread::sleep(Duration::from_millis(10));
        }
        self.settle(1);
    }

    fn group(&self) -> &Group {
        self.group.as_ref().expect("one, until this is dropped")
    }

    /// Waits until it sleeps and has no more processes than these, so that all
    /// it did is accounted for.
    fn settle(&self, processes: usize) {
        let end = Instant::now() + DEADLINE;
        let mut last = self.group().cpu();
        loop {
            thread::sleep(Duration::from_millis(20));
            let now = self.group().cpu();
            if now == last && self.group().processes().len() <= processes {
                return;
            }
            assert!(Instant::now() < end, "{} does not come to rest", self.name);
            last = now;
        }
    }

    /// What some work costs, whose sessions end in it or do not end.
    pub fn cost(&self, work: impl FnOnce(&mut Watch<'_>)) -> Cost {
        self.cost_down_to(self.group().processes().len(), work)
    }

    /// What some work costs, until there are no more processes than these.
    pub fn cost_down_to(&self, processes: usize, work: impl FnOnce(&mut Watch<'_>)) -> Cost {
        let mut watch = Watch {
            server: self,
            pauses: Duration::ZERO,
            memory: None,
            waits: Samples::default(),
        };
        let before = self.group().cpu();
        let start = Instant::now();
        work(&mut watch);
        let wall = start.elapsed() - watch.pauses;
        self.settle(processes);
        Cost {
            cpu: self.group().cpu() - before,
            wall,
            memory: watch.memory,
            waits: watch.waits,
        }
    }

    pub fn private_memory(&self) -> u64 {
        self.group().private_memory()
    }

    /// A client that is logged in.
    pub fn enter(&self) -> Client {
        let mut client = Client::connect(self.address);
        if let Some(tls) = &self.tls {
            client = client.auth(tls);
        }
        client.login_as(self.user);
        client
    }

    /// Runs some work in a session that has begun before and ends after it.
    pub fn in_session<T>(&self, work: impl FnOnce(&mut Client) -> T) -> T {
        let before = self.group().processes().len();
        let mut client = self.session();
        self.settle(ANY);
        let result = work(&mut client);
        client.quit();
        self.settle(before);
        result
    }

    /// A client that is logged in, in TYPE I and PROT P.
    pub fn session(&self) -> Client {
        let mut client = self.enter();
        client.command("TYPE I", 200);
        if self.tls.is_some() {
            client.command("PBSZ 0", 200);
            client.command("PROT P", 200);
        }
        client
    }

    /// The handshakes that it has had, if it has TLS.
    pub fn handshakes(&self) -> Option<String> {
        let tls = self.tls.as_ref()?;
        Some(format!("{}: {}", self.name, tls.handshakes()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.group.take());
        // What bounds its life has ended with it.
        let _ = self.child.wait();
    }
}

/// What some work has cost.
pub struct Cost {
    pub cpu: Duration,
    pub wall: Duration,
    /// Private memory in the midst of it, in bytes.
    pub memory: Option<u64>,
    /// How long each of its parts took, in microseconds.
    pub waits: Samples,
}

/// Looks at a server while it works.
pub struct Watch<'a> {
    server: &'a Server,
    pauses: Duration,
    memory: Option<u64>,
    pub waits: Samples,
}

impl Watch<'_> {
    /// Reads its memory, in time that does not count.
    pub fn read_memory(&mut self) {
        let start = Instant::now();
        self.memory = Some(self.server.private_memory());
        self.pauses += start.elapsed();
    }
}

fn libraries(package: &Package) -> OsString {
    env::join_paths(package.libraries()).unwrap()
}

/// As many processes as a server likes.
pub const ANY: usize = usize::MAX;

/// The name of what is no server, and wins nothing.
pub const BARE: &str = "bare loop";

/// [`PASSWORD`](crate::common::PASSWORD) as the least hash of crypt(3): what is
/// measured is not how dear a password is.
const PASSWORD_HASH: &str = "ab80DAu2C3JN6";

/// The user and group of files, for who has to be told.
const NOBODY: u32 = 65534;

/// How long a server may live, in seconds.
const LIFETIME: &str = "3600";

const NO_GROUP: &str = "servers are measured in control groups: be root, or systemd-run --user --scope -p Delegate=yes";
