//! `ftpdlib`: an FTP server in one command.
//!
//! The program reads the command line and the configuration file, binds a server, and
//! serves until a signal ends it. On a startup error it prints one line to standard
//! error and exits with status 2. An error that ends a running server has status 1.

mod cli;
mod config;
mod manual;

use std::env;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use ftpdlib::handlers::StockHandler;
use ftpdlib::log::{config_logging, escape, write_plain, write_through};
use ftpdlib::{
    FTPConfig, FTPServer, ListenTls, MultiprocessFTPServer, ServerBuilder, ThreadedFTPServer,
    TlsError, strerror,
};
use log::{LevelFilter, error, info, warn};
use rustix::fs::Mode;

use crate::cli::Stop;
use crate::config::flags::Flags;
use crate::config::{Concurrency, Listener, Share};

fn main() -> ExitCode {
    let flags = match cli::parse(env::args_os()) {
        Ok(flags) => flags,
        Err(Stop::Help(text)) => return print_result(text.print()),
        Err(Stop::Generate(document)) => {
            return print_result(io::stdout().write_all(&manual::text(document)));
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

/// The exit status after the program has printed what the command line asked for.
fn print_result(result: io::Result<()>) -> ExitCode {
    match result.and_then(|()| io::stdout().flush()) {
        // A closed pipe is no error: `ftpdlib -h | head` closes it early.
        Err(err) if err.kind() != ErrorKind::BrokenPipe => fail(
            2,
            &format!("cannot write to standard output: {}", strerror(&err)),
        ),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// Returns a server that is bound to its address.
///
/// # Errors
/// One line that says why the server cannot start.
fn start(flags: &Flags) -> Result<FTPServer, String> {
    let level = if flags.debug {
        LevelFilter::Debug
    } else {
        LevelFilter::Info
    };
    FTPServer::survive_signals().map_err(|err| strerror(&err))?;
    config_logging(level).map_err(|err| err.to_string())?;
    panic::set_hook(Box::new(log_panic));

    let mut settings = config::load(flags).map_err(|err| err.to_string())?;
    if let Some(mask) = settings.umask {
        // Before there are threads and workers, which inherit it.
        rustix::process::umask(Mode::from_raw_mode(mask));
    }
    config::resolve_masquerade(&mut settings).map_err(|err| err.to_string())?;
    let root = config::root_warning(&settings).map(str::to_owned);
    settings.warnings.extend(root);
    let implicit = settings.handler.tls.as_ref().map(|tls| tls.implicit);
    let (concurrency, handler) = (settings.concurrency, settings.handler);
    let listeners = settings.listeners;
    let mut server = bind(concurrency, &listeners, settings.backlog, handler)?;
    if concurrency == Concurrency::Prefork {
        server.set_worker_processes(settings.workers.unwrap_or(0));
    }
    for (local, name) in &settings.masquerade_names {
        let set = server.set_masquerade_name(*local, name);
        set.map_err(|err| strerror(&err))?;
    }
    // A service reads its certificates again.
    server.set_ends_at_hang_up(flags.config.is_none());
    if let Some(run_as) = settings.run_as {
        server.set_run_as(run_as).map_err(|err| strerror(&err))?;
    }
    server.set_drain_timeout(settings.drain_timeout);
    server.set_max_cons(settings.max_cons);
    server.set_max_cons_per_ip(settings.max_cons_per_ip);
    server.set_max_cons_per_user(settings.max_cons_per_user);
    server.set_ipv6_prefix(settings.ipv6_prefix);
    for warning in &settings.warnings {
        warn!(target: "ftpdlib", "{warning}");
    }
    info!(target: "ftpdlib", "{}", settings.accounts);
    if let Some(fingerprint) = settings.fingerprint {
        info!(target: "ftpdlib", "self-signed certificate, SHA-256 fingerprint {fingerprint}");
    }
    if let Some(share) = settings.share {
        for (address, listener) in server.addresses().iter().zip(&listeners) {
            let implicit = match listener.tls {
                Some(ListenTls::Off) => None,
                Some(tls) => Some(tls == ListenTls::Implicit),
                None => implicit,
            };
            info!(target: "ftpdlib", "{}", share_line(&share, implicit, *address));
        }
    }
    Ok(server)
}

/// Binds the kind of server that the concurrency model needs.
fn bind(
    concurrency: Concurrency,
    listeners: &[Listener],
    backlog: i32,
    handler: FTPConfig,
) -> Result<FTPServer, String> {
    let factory = |_peer: SocketAddr| StockHandler;
    match concurrency {
        Concurrency::Async | Concurrency::Prefork => {
            listen(FTPServer::builder(handler, factory), listeners, backlog)
        }
        Concurrency::Threads => listen(
            ThreadedFTPServer::builder(handler, factory),
            listeners,
            backlog,
        ),
        Concurrency::Processes => listen(
            MultiprocessFTPServer::builder(handler, factory),
            listeners,
            backlog,
        ),
    }
}

fn listen<F>(
    mut builder: ServerBuilder<F>,
    listeners: &[Listener],
    backlog: i32,
) -> Result<FTPServer, String> {
    for listener in listeners {
        let bound = builder.listen(listener.to_listen(backlog));
        builder = bound.map_err(|err| explain(&err, listener))?;
    }
    builder.build().map_err(|err| strerror(&err))
}

/// Why the server could not be bound, and what the user can do about it.
fn explain(err: &io::Error, listener: &Listener) -> String {
    match err.get_ref().filter(|inner| inner.is::<TlsError>()) {
        Some(inner) => format!("TLS: {inner}"),
        None => {
            let (address, port) = (&listener.address, listener.port);
            let address = if address.is_empty() { "*" } else { address };
            let option = match listener.place {
                Some(_) => "",
                None => "--",
            };
            let advice = match err.kind() {
                ErrorKind::AddrInUse => {
                    format!("; choose another {option}port, or end the other server")
                }
                ErrorKind::AddrNotAvailable => "; choose an address of this machine".to_owned(),
                ErrorKind::PermissionDenied => "; ports below 1024 may need privileges".to_owned(),
                // The name could not be looked up.
                _ if err.raw_os_error().is_none() => {
                    "; it must be an IP address or a host name of this machine".to_owned()
                }
                _ => String::new(),
            };
            let place = listener.place.as_ref();
            let place = place.map(|place| format!("{place}: listen: "));
            format!(
                "{}cannot listen on {address}, port {port}: {}{advice}",
                place.unwrap_or_default(),
                strerror(err)
            )
        }
    }
}

/// The line of the log that says what is shared, and the URL for a client. `implicit`
/// is that of the TLS settings, or `None` without TLS.
fn share_line(share: &Share, implicit: Option<bool>, address: SocketAddr) -> String {
    let host = match address {
        // Bound to all addresses: this name works on this machine, for a first try.
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

/// Encodes a user name for a URL (RFC 3986 §2.1).
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Prints an error as one line and returns the exit status.
fn fail(status: u8, text: &str) -> ExitCode {
    // If standard error is closed, the status still says that there was an error.
    write_plain(&format!("ftpdlib: error: {}\n", escape(text)));
    ExitCode::from(status)
}

/// Logs a panic as one line. The loop closes the session whose code has panicked, and
/// the server continues.
fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref()) {
        (Some(text), _) => *text,
        (None, Some(text)) => String::as_str(text),
        (None, None) => "(the payload is not text)",
    };
    match info.location() {
        Some(at) => error!(target: "ftpdlib", "panicked at {}:{}: {message}", at.file(), at.line()),
        None => error!(target: "ftpdlib", "panic: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(username: &str, address: &str, write: bool) -> String {
        link_with(None, username, address, write)
    }

    fn link_with(tls: Option<bool>, username: &str, address: &str, write: bool) -> String {
        let share = Share {
            username: username.into(),
            directory: "/srv/ftp".into(),
            write,
        };
        share_line(&share, tls, address.parse().unwrap())
    }

    #[test]
    fn errors_of_the_socket_say_what_to_do() {
        let on = |address: &str| Listener {
            address: address.to_owned(),
            port: 21,
            ..Listener::default()
        };
        let text = |err: io::Error| explain(&err, &on("x"));
        for (errno, advice) in [
            (
                libc::EADDRINUSE,
                "; choose another --port, or end the other server",
            ),
            (libc::EADDRNOTAVAIL, "; choose an address of this machine"),
            (libc::EACCES, "; ports below 1024 may need privileges"),
            (libc::EMFILE, ""),
        ] {
            let err = || io::Error::from_raw_os_error(errno);
            assert_eq!(
                text(err()),
                format!("cannot listen on x, port 21: {}{advice}", strerror(&err()))
            );
        }
        assert_eq!(
            text(io::Error::other("no such name")),
            "cannot listen on x, port 21: no such name; \
             it must be an IP address or a host name of this machine"
        );
        let err = io::Error::from_raw_os_error(libc::EMFILE);
        assert!(explain(&err, &on("")).starts_with("cannot listen on *, port 21: "));
        let listener = Listener {
            place: Some("ftpd.toml:3".to_owned()),
            ..on("x")
        };
        let err = io::Error::from_raw_os_error(libc::EADDRINUSE);
        assert_eq!(
            explain(&err, &listener),
            format!(
                "ftpd.toml:3: listen: cannot listen on x, port 21: {}; choose another port, or end \
                 the other server",
                strerror(&err)
            )
        );
    }

    #[test]
    fn the_shared_directory_has_a_link() {
        assert_eq!(
            link("anonymous", "127.0.0.1:2121", false),
            "sharing /srv/ftp (read-only) with anonymous on ftp://127.0.0.1:2121/"
        );
        assert_eq!(
            link("joe d@e", "[::1]:21", true),
            "sharing /srv/ftp (read-write) with joe d@e on ftp://joe%20d%40e@[::1]:21/"
        );
        for all in ["0.0.0.0:2121", "[::]:2121"] {
            assert!(link("anonymous", all, false).ends_with(" on ftp://localhost:2121/"));
        }
        let link = |implicit| link_with(Some(implicit), "joe", "127.0.0.1:2121", false);
        assert!(link(true).ends_with(" on ftps://joe@127.0.0.1:2121/"));
        assert!(link(false).ends_with(" on ftp://joe@127.0.0.1:2121/ (TLS after AUTH)"));
    }
}
