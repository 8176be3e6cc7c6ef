//! `ftpdlib`: an FTP server in one command.
//!
//! Reads the command line and the configuration file, makes a server of them,
//! and serves until it is told to stop. All that can go wrong before is one line
//! on standard error and status 2; later, status 1.

mod cli;
mod config;
mod manual;

use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::sync::Arc;

use ftpdlib::handlers::StockHandler;
use ftpdlib::log::{config_logging, escape, write_through};
use ftpdlib::{FTPConfig, FTPServer, MultiprocessFTPServer, ThreadedFTPServer, TlsError, strerror};
use log::{LevelFilter, error, info};
use signal_hook::consts::signal::SIGXFSZ;

use crate::cli::Stop;
use crate::config::flags::Flags;
use crate::config::{Concurrency, Share};

fn main() -> ExitCode {
    let flags = match cli::parse(env::args_os()) {
        Ok(flags) => flags,
        Err(Stop::Asked(text)) => return printed(text.print()),
        Err(Stop::Generate(document)) => {
            return printed(io::stdout().write_all(&manual::text(document)));
        }
        Err(Stop::Wrong(text)) => return fail(2, &text),
    };
    let mut server = match start(&flags) {
        Ok(server) => server,
        Err(text) => return fail(2, &text),
    };
    let result = server.serve_forever();
    write_through();
    match result {
        Ok(()) => ExitCode::from(server.exit_status()),
        Err(err) => fail(1, &strerror(&err)),
    }
}

/// The end, after what was asked for was printed with this result.
fn printed(result: io::Result<()>) -> ExitCode {
    match result.and_then(|()| io::stdout().flush()) {
        // A closed pipe (`ftpdlib -h | head`) is nobody's error.
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => {
            fail(2, &format!("standard output: {}", strerror(&err)))
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// A server that listens.
fn start(flags: &Flags) -> Result<FTPServer, String> {
    let level = if flags.debug {
        LevelFilter::Debug
    } else {
        LevelFilter::Info
    };
    config_logging(level).map_err(|err| err.to_string())?;
    panic::set_hook(Box::new(log_panic));
    // Beyond the limit of a file's size a write is to fail, not to kill.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());

    let settings = config::load(flags).map_err(|err| err.to_string())?;
    let (address, port) = (settings.address, settings.port);
    let tls = settings.handler.tls.as_ref();
    let implicit = tls.map(|tls| tls.implicit);
    let (concurrency, handler) = (settings.concurrency, settings.handler);
    let mut server = bind(concurrency, &address, port, settings.backlog, handler)
        .map_err(|err| explain(&err, &address, port))?;
    if concurrency == Concurrency::Prefork {
        server.set_worker_processes(settings.workers.unwrap_or(0));
    }
    server.set_drain_timeout(settings.drain_timeout);
    server.set_max_cons(settings.max_cons);
    server.set_max_cons_per_ip(settings.max_cons_per_ip);
    server.set_max_cons_per_user(settings.max_cons_per_user);
    if let Some(fingerprint) = settings.fingerprint {
        info!(target: "ftpdlib", "self-signed certificate, SHA-256 fingerprint {fingerprint}");
    }
    if let Some(share) = settings.share {
        info!(target: "ftpdlib", "{}", invitation(&share, implicit, server.address()));
    }
    Ok(server)
}

/// The server of a model.
fn bind(
    concurrency: Concurrency,
    address: &str,
    port: u16,
    backlog: i32,
    handler: FTPConfig,
) -> io::Result<FTPServer> {
    let factory = |_peer: SocketAddr| StockHandler;
    match concurrency {
        Concurrency::Async | Concurrency::Prefork => {
            FTPServer::bind_with(address, port, backlog, handler, factory)
        }
        Concurrency::Threads => {
            ThreadedFTPServer::bind_with(address, port, backlog, handler, factory).map(Into::into)
        }
        Concurrency::Processes => {
            let bound = MultiprocessFTPServer::bind_with(address, port, backlog, handler, factory);
            bound.map(Into::into)
        }
    }
}

/// Why there is no server.
fn explain(err: &io::Error, address: &str, port: u16) -> String {
    match err.get_ref().filter(|inner| inner.is::<TlsError>()) {
        Some(inner) => format!("TLS: {inner}"),
        None => {
            let address = if address.is_empty() { "*" } else { address };
            format!("cannot listen on {address}, port {port}: {}", strerror(err))
        }
    }
}

/// What is shared, and the address to give to a client; `implicit` is of TLS, if
/// there is any.
fn invitation(share: &Share, implicit: Option<bool>, address: SocketAddr) -> String {
    let host = match address {
        // Bound to all: this host's name for itself is right for a first try.
        _ if address.ip().is_unspecified() => "localhost".to_owned(),
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    let user = match share.username.as_str() {
        "anonymous" => String::new(),
        name => percent_encode(name) + "@",
    };
    let directory = share.directory.display();
    let mode = if share.write {
        "read-write"
    } else {
        "read-only"
    };
    let (name, port) = (&share.username, address.port());
    let (scheme, tls) = match implicit {
        Some(true) => ("ftps", ""),
        Some(false) => ("ftp", " (TLS after AUTH)"),
        None => ("ftp", ""),
    };
    format!("sharing {directory} ({mode}) with {name} on {scheme}://{user}{host}:{port}/{tls}")
}

/// RFC 3986 §2.1, for the user in a URL.
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// One line for whatever went wrong, and the status that says so.
fn fail(status: u8, text: &str) -> ExitCode {
    write_through();
    // A closed standard error changes nothing: the status tells.
    let line = format!("ftpdlib: error: {}\n", escape(text));
    let _ = io::stderr().write_all(line.as_bytes());
    ExitCode::from(status)
}

/// A panic as one line of the log, where its reader looks; the session it came
/// from ends, and the server goes on.
fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref()) {
        (Some(text), _) => *text,
        (None, Some(text)) => String::as_str(text),
        (None, None) => "of an unknown kind",
    };
    match info.location() {
        Some(at) => error!(target: "ftpdlib", "panicked at {}:{}: {message}", at.file(), at.line()),
        None => error!(target: "ftpdlib", "panic: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(username: &str, address: &str, write: bool) -> String {
        invite_with(None, username, address, write)
    }

    fn invite_with(tls: Option<bool>, username: &str, address: &str, write: bool) -> String {
        let share = Share {
            username: username.into(),
            directory: "/srv/ftp".into(),
            write,
        };
        invitation(&share, tls, address.parse().unwrap())
    }

    #[test]
    fn invitations_are_links() {
        assert_eq!(
            invite("anonymous", "127.0.0.1:2121", false),
            "sharing /srv/ftp (read-only) with anonymous on ftp://127.0.0.1:2121/"
        );
        assert_eq!(
            invite("joe d@e", "[::1]:21", true),
            "sharing /srv/ftp (read-write) with joe d@e on ftp://joe%20d%40e@[::1]:21/"
        );
        for all in ["0.0.0.0:2121", "[::]:2121"] {
            assert!(invite("anonymous", all, false).ends_with(" on ftp://localhost:2121/"));
        }
        let invite = |implicit| invite_with(Some(implicit), "joe", "127.0.0.1:2121", false);
        assert!(invite(true).ends_with(" on ftps://joe@127.0.0.1:2121/"));
        assert!(invite(false).ends_with(" on ftp://joe@127.0.0.1:2121/ (TLS after AUTH)"));
    }
}
