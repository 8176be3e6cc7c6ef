//! 300 KiB a second to each client, 30 KiB a second from each client:
//! `cargo run --example throttled_ftpd [ADDRESS] [DIRECTORY]`, then
//! `curl -O ftp://user:12345@127.0.0.1:2121/SOME-LARGE-FILE`.

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPConfig, FTPServer, ThrottledDTPHandler};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", &home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.set_dtp_handler(|| {
        ThrottledDTPHandler::new()
            .read_limit(30 * 1024)
            .write_limit(300 * 1024)
    });
    FTPServer::bind(&address, config, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}
