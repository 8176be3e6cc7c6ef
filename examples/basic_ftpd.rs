//! A server in 15 lines: `cargo run --example basic_ftpd [DIRECTORY]`, then
//! `curl ftp://user:12345@127.0.0.1:2121/`.

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPConfig, FTPServer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let home = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let mut authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", &home, "elradfmwMT")?;
    authorizer.add_anonymous(&home)?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    FTPServer::bind("127.0.0.1:2121", config, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}
