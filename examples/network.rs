//! A server behind a NAT gateway that also sends files to other servers: the addresses
//! and ports of data connections. `cargo run --example network [ADDRESS] [DIRECTORY]`,
//! then `curl -v ftp://user:12345@127.0.0.1:2121/`.

use std::net::{IpAddr, Ipv4Addr};

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
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);

    // The reply to PASV names the gateway, which forwards these ports ...
    config.masquerade_address = Some("203.0.113.7".to_owned());
    config.passive_ports = Some((60_000..=60_999).collect());
    // ... but clients on the inside get the address that they have connected to.
    let inside = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let map = &mut config.masquerade_address_map;
    map.insert(inside, inside.to_string());

    // PORT may name another host than the client, so that two servers can send files to
    // each other, and a port below 1024. Permit that only to clients that you know.
    config.permit_foreign_addresses = true;
    config.permit_privileged_ports = true;

    FTPServer::bind(&address, config, |_peer| StockHandler)?.serve_forever()?;
    Ok(())
}
