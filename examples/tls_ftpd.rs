//! FTPS, for clients that send AUTH TLS:
//! `cargo run --example tls_ftpd [ADDRESS] [DIRECTORY] [CERTFILE]`, then
//! `curl --ssl-reqd --insecure ftp://user:12345@127.0.0.1:2121/`.
//!
//! `keycert.pem` contains certificate and key. It is in the current directory, so another
//! one is shared, `examples`. To make a certificate for a try:
//! `openssl req -x509 -newkey rsa:2048 -nodes
//! -subj /CN=localhost -keyout keycert.pem -out keycert.pem`

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPConfig, FTPServer, TlsConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| "examples".to_owned());
    let certfile = args.next().unwrap_or_else(|| "keycert.pem".to_owned());
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", &home, "elradfmwMT")?;
    authorizer.add_anonymous(&home)?;
    let mut tls = TlsConfig::new(certfile);
    // Without TLS there are no logins and no transfers; both are false by default.
    tls.tls_control_required = true;
    tls.tls_data_required = true;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.tls = Some(tls);
    FTPServer::bind(&address, config, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}
