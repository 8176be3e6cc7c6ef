//! A whole session in memory, whose client sends any bytes.
//!
//! Input: lines for the control connection. A line that begins with 0x01 and a letter is
//! for the client itself, see `Client::act`.

#![no_main]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{LazyLock, Once};
use std::time::Duration;

use ftpdlib::FTPConfig;
use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::testing::{DataListener, DataPeer, Session};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// The content of the file next to the user's home.
const SECRET: &[u8] = b"dBv7-beyond-the-home";

/// In memory where the system has such a directory: each run makes its files anew.
static TOP: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let top = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let top = top.expect("a temporary directory");
    fs::write(top.path().join("secret"), SECRET).expect("a file");
    top
});

fuzz_target!(|input: &[u8]| {
    log_everything();
    let home = TOP.path().join("home");
    furnish(&home).expect("a home");
    let mut client = Client::new(&home);
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        match line {
            [1, action, rest @ ..] => client.act(*action, rest.strip_suffix(b"\n").unwrap_or(rest)),
            _ => client.send(line),
        }
        client.read();
    }
    // All deadlines, and the last hooks.
    client.session.advance(Duration::from_secs(3600));
    client.read();
    let received = std::mem::take(&mut client.received);
    drop(client);

    assert!(contains(input, SECRET) || !contains(&received, SECRET));
    assert_eq!(
        fs::read(TOP.path().join("secret")).ok().as_deref(),
        Some(SECRET)
    );
    let beside = fs::read_dir(TOP.path()).expect("the directory").count();
    assert_eq!(beside, 2, "there is a file outside");
    let _ = fs::remove_dir_all(&home);
});

/// Some files, and links that lead out of the home.
fn furnish(home: &Path) -> std::io::Result<()> {
    if home.exists() {
        fs::remove_dir_all(home)?;
    }
    fs::create_dir_all(home.join("docs/deep"))?;
    fs::write(home.join("docs/readme.txt"), "hello\r\nworld\n")?;
    fs::write(home.join("file"), vec![b'x'; 100_000])?;
    fs::write(home.join("empty"), "")?;
    symlink("../secret", home.join("link"))?;
    symlink("..", home.join("out"))?;
    symlink("docs", home.join("inside"))
}

struct Client {
    session: Session<StockHandler>,
    data: Option<DataPeer>,
    listener: Option<DataListener>,
    /// Whether it waits before it connects to a port that the server names.
    waits: bool,
    /// Whether it leaves unread what comes on the data connection.
    is_idle: bool,
    port: Option<u16>,
    /// What is not a whole reply yet.
    unread: Vec<u8>,
    /// All that came, on both connections.
    received: Vec<u8>,
    sent: usize,
    lines: usize,
    final_replies: usize,
}

impl Client {
    fn new(home: &Path) -> Self {
        let users = DummyAuthorizer::new();
        users
            .add_user("user", "12345", home, "elradfmwMT")
            .expect("a user");
        users
            .add_user("reader", "12345", home, "elr")
            .expect("a user");
        users.add_anonymous(home).expect("a user");
        let mut config = FTPConfig::default();
        config.set_authorizer(users);
        let session = Session::new(config, StockHandler).expect("a session");
        Self {
            session,
            data: None,
            listener: None,
            waits: false,
            is_idle: false,
            port: None,
            unread: Vec::new(),
            received: Vec::new(),
            sent: 0,
            lines: 0,
            final_replies: 0,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.sent += bytes.len();
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        self.session.send(bytes);
    }

    /// What the client does by itself.
    fn act(&mut self, action: u8, argument: &[u8]) {
        match (action, &mut self.data) {
            (b'w', Some(data)) => {
                data.write(argument);
            }
            (b'n', Some(data)) => {
                data.write(b"\r\n");
            }
            (b's', Some(data)) => data.shutdown(),
            (b'x', data) => *data = None,
            (b'r', Some(data)) => data.reset(),
            (b'l', _) => self.waits = !self.waits,
            (b'i', _) => self.is_idle = !self.is_idle,
            (b'c', _) => self.connect(),
            (b'p', _) => self.listen(),
            (b'a', _) => self.accept(),
            (b't', _) => {
                let tens = u32::try_from(argument.len()).unwrap_or(u32::MAX);
                self.session
                    .advance(Duration::from_millis(10) * tens.saturating_mul(tens));
            }
            (b'q', _) => self.session.shutdown(),
            (b'z', _) => self.session.reset(),
            (_, _) => {}
        }
    }

    fn connect(&mut self) {
        if let Some(port) = self.port.take() {
            let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
            self.data = self.session.connect(client, port).ok();
        }
    }

    fn listen(&mut self) {
        self.listener = None;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = self.session.listen(any).expect("a port");
        let [high, low] = listener.address().port().to_be_bytes();
        self.listener = Some(listener);
        self.send(format!("PORT 127,0,0,1,{high},{low}\r\n").as_bytes());
    }

    fn accept(&mut self) {
        let accepted = self.listener.as_ref().and_then(DataListener::accept);
        self.data = accepted.or_else(|| self.data.take());
    }

    /// Reads all there is, and checks it.
    fn read(&mut self) {
        let bytes = self.session.receive();
        self.received.extend_from_slice(&bytes);
        self.unread.extend_from_slice(&bytes);
        while let Some(code) = self.take_reply() {
            self.final_replies += usize::from(code >= 200 && code != 421);
        }
        // Too long a line has a reply before its end.
        let commands = self.lines + self.sent / 2048;
        assert!(self.final_replies <= 1 + commands, "a reply to no command");
        if self.port.is_some() && !self.waits {
            self.connect();
        }
        if let Some(data) = &mut self.data
            && !self.is_idle
        {
            self.received.extend(data.read());
        }
    }

    /// The code of the next reply, which must have the form of one.
    fn take_reply(&mut self) -> Option<u16> {
        let mut lines = Vec::new();
        let mut rest = self.unread.as_slice();
        let code = loop {
            let end = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
            let (line, after) = (&rest[..end], &rest[end + 2..]);
            rest = after;
            assert!(
                !line.iter().any(u8::is_ascii_control),
                "{}",
                line.escape_ascii()
            );
            lines.push(line);
            let code = lines[0].get(..3).and_then(number).expect("a code");
            assert!((110..600).contains(&code), "{code}");
            match (line.get(3), line.get(..3) == lines[0].get(..3)) {
                (Some(b' '), true) => break code,
                (Some(b'-'), true) if lines.len() == 1 => {}
                _ => assert!(lines.len() > 1, "{}", line.escape_ascii()),
            }
        };
        if let (227 | 229, Some(line)) = (code, lines.last()) {
            self.port = port(line);
        }
        self.unread = rest.to_vec();
        Some(code)
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The port in a reply to PASV or EPSV.
fn port(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    let inside = line.split_once('(')?.1.split_once(')')?.0;
    if let Some(port) = inside.strip_prefix("|||") {
        return port.trim_end_matches('|').parse().ok();
    }
    let numbers: Vec<u16> = inside
        .split(',')
        .filter_map(|part| part.parse().ok())
        .collect();
    let [.., high, low] = numbers.as_slice() else {
        return None;
    };
    Some(high * 256 + low)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Formats each line of the log, which must be one.
fn log_everything() {
    struct Log;
    impl log::Log for Log {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            let line = record.args().to_string();
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        fn flush(&self) {}
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Log).expect("the only logger");
        log::set_max_level(log::LevelFilter::Trace);
    });
}
