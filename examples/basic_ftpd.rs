//! A server with a user and anonymous:
//! `cargo run --example basic_ftpd [ADDRESS] [DIRECTORY]`, then
//! `curl ftp://user:12345@127.0.0.1:2121/`.

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPConfig, FTPServer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());

    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", &home, "elradfmwMT")?;
    authorizer.add_anonymous(&home)?;

    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.banner = "A basic server is ready.".to_owned();
    config.passive_ports = Some((60_000..=65_534).collect());

    let mut server = FTPServer::bind(&address, config, |_peer| StockHandler)?;
    server.set_max_cons(256);
    server.set_max_cons_per_ip(5);
    server.serve_forever()?;
    Ok(())
}
