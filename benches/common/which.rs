//! The servers that are measured, and what their clients speak.

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::tls::Tls;
use super::{PASSWORD, USER};

/// A server that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Ftpdlib,
    Pyftpdlib,
}

impl Which {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ftpdlib => "ftpdlib",
            Self::Pyftpdlib => "pyftpdlib",
        }
    }
}

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Clear,
    /// AUTH TLS, PROT P.
    Tls,
}

impl Speech {
    /// Returns what servers and clients need for it, besides the protocol.
    pub fn tls(self) -> Option<Arc<Tls>> {
        (self == Self::Tls).then(Tls::new)
    }

    /// The name of a part of a bench.
    pub fn part(self, part: &str) -> String {
        match self {
            Self::Clear => format!("{part}-clear"),
            Self::Tls => format!("{part}-tls"),
        }
    }

    /// The name of a row.
    pub fn row(self, work: &str) -> String {
        match self {
            Self::Clear => work.to_owned(),
            Self::Tls => format!("TLS: {work}"),
        }
    }
}

/// The servers that are installed, ftpdlib first.
pub fn installed() -> Vec<Which> {
    match python() {
        Some(_) => vec![Which::Ftpdlib, Which::Pyftpdlib],
        None => vec![Which::Ftpdlib],
    }
}

/// The interpreter that has pyftpdlib 2.2.0 and what its TLS needs.
pub fn python() -> Option<String> {
    let python = env::var("FTPDLIB_BENCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let version = Command::new(&python)
        .args(["-c", "import OpenSSL, pyftpdlib; print(pyftpdlib.__ver__)"])
        .output()
        .ok()?;
    (version.stdout.trim_ascii() == b"2.2.0").then_some(python)
}

/// Returns the program of a server with its options, which are the same for both.
pub fn words(which: Which, address: SocketAddr, tls: Option<&Tls>, home: &Path) -> Vec<String> {
    let mut words = match which {
        Which::Ftpdlib => vec![env!("CARGO_BIN_EXE_ftpdlib").into()],
        Which::Pyftpdlib => vec![python().unwrap(), "-m".into(), "pyftpdlib".into()],
    };
    let port = address.port().to_string();
    let options = [
        "-i",
        "127.0.0.1",
        "-p",
        &port,
        "-w",
        "-u",
        USER,
        "-P",
        PASSWORD,
        "--max-cons",
        "60000",
        "--max-cons-per-ip",
        "0",
    ];
    words.extend(options.map(str::to_owned));
    if let Some(tls) = tls {
        let file = tls.certfile().to_str().unwrap();
        words.extend(["--tls", "--certfile", file, "--keyfile", file].map(str::to_owned));
    }
    words.extend(["-d", home.to_str().unwrap()].map(str::to_owned));
    words
}
