//! Sessions that differ: the address of PASV by user, a speed that changes during a transfer,
//! transfers that are always binary, and PORT for clients of the local network only.
//! `cargo run --example per_user [ADDRESS] [DIRECTORY]`, then
//! `curl -v -Q 'SITE SPEED 100000' ftp://user:12345@127.0.0.1:2121/FILE`. The user `partner` gets
//! another address in the reply to PASV.

use std::net::{IpAddr, Ipv4Addr};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::{CmdArg, TransferType, commands};
use ftpdlib::proto::command::{Arg, ProtoCmd};
use ftpdlib::{AuthorizerError, FTPConfig, FTPHandler, FTPServer, FTPSession};

/// The gateway by which partners come.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

struct PerUser;

impl FTPHandler for PerUser {
    /// What is set here ends with the login.
    fn on_login(&mut self, s: &mut FTPSession, username: &str) {
        s.set_transfer_type(TransferType::Binary);
        if username == "partner" {
            s.set_masquerade_address(Some(GATEWAY));
            s.set_passive_ports(vec![60_000, 60_001, 60_002]);
        }
    }

    /// Old devices send TYPE A and mean binary.
    fn ftp_type(&mut self, s: &mut FTPSession, _line: &str) {
        s.respond("200 Type is always binary.");
    }

    fn ftp_port(&mut self, s: &mut FTPSession, line: &str) {
        match is_local(s.remote_ip()) {
            true => commands::port(self, s, line), // super
            false => s.respond("501 PORT is for the local network, use PASV."),
        }
    }

    fn ftp_eprt(&mut self, s: &mut FTPSession, line: &str) {
        match is_local(s.remote_ip()) {
            true => commands::eprt(self, s, line), // super
            false => s.respond("501 EPRT is for the local network, use EPSV."),
        }
    }

    /// `SITE SPEED` takes bytes per second, also during a transfer.
    fn ftp_custom(&mut self, s: &mut FTPSession, cmd: &str, arg: CmdArg<'_>) {
        let speed = arg.to_text().parse();
        match (cmd, speed) {
            ("SITE SPEED", Ok(speed)) => {
                s.set_throttle(speed, speed);
                s.respond(format!("200 {speed} bytes per second."));
            }
            ("SITE SPEED", Err(_)) => s.respond("501 A number of bytes per second."),
            _ => commands::custom(s, cmd), // super
        }
    }
}

fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

fn config(home: &str) -> Result<FTPConfig, AuthorizerError> {
    let authorizer = DummyAuthorizer::new();
    for user in ["user", "partner"] {
        authorizer.add_user(user, "12345", home, "elradfmwMT")?;
    }
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    config.proto_cmds.insert(
        "SITE SPEED",
        ProtoCmd {
            perm: None,
            auth: true,
            arg: Arg::Required,
            help: "Syntax: SITE SPEED <SP> bytes-per-second.".into(),
        },
    );
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    FTPServer::bind(&address, config(&home)?, |_peer| PerUser)?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;
    use std::time::Duration;

    use ftpdlib::testing::Session;

    use super::*;

    fn session(home: &Path, from: &str) -> Session<PerUser> {
        let config = config(home.to_str().unwrap()).unwrap();
        let peer: SocketAddr = from.parse().unwrap();
        let local = SocketAddr::from(([10, 0, 0, 1], 2121));
        Session::with_addresses(config, PerUser, peer, local).unwrap()
    }

    #[test]
    fn the_address_of_pasv_is_that_of_the_user() {
        let home = tempfile::tempdir().unwrap();
        let mut session = session(home.path(), "10.0.0.2:1024");
        session.login("partner", "12345");
        assert!(session.command("PASV").text().contains("(192,0,2,7,234,"));
        session.login("user", "12345");
        assert!(session.command("PASV").text().contains("(10,0,0,1,"));
    }

    #[test]
    fn the_speed_changes_during_a_transfer() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("file"), vec![0; 60_000]).unwrap();
        let mut session = session(home.path(), "10.0.0.2:1024");
        session.login("user", "12345");
        assert_eq!(session.command("SITE SPEED 1000").code(), 200);
        assert_eq!(session.command("SITE SPEED fast").code(), 501);
        let mut data = session.passive();
        assert_eq!(session.command("RETR file").code(), 125);
        session.advance(Duration::from_secs(10));
        let size = data.read().len();
        assert!((9_000..=11_000).contains(&size), "{size}");
        assert_eq!(session.command("SITE SPEED 0").code(), 200);
        assert_eq!(size + data.read_to_end().len(), 60_000);
        assert_eq!(session.reply().unwrap().code(), 226);
    }

    #[test]
    fn always_binary() {
        let home = tempfile::tempdir().unwrap();
        let mut session = session(home.path(), "10.0.0.2:1024");
        session.login("user", "12345");
        assert_eq!(session.command("TYPE A").code(), 200);
        let mut data = session.passive();
        assert_eq!(session.command("STOR file").code(), 125);
        data.write(b"one\r\ntwo\n");
        data.close();
        assert_eq!(session.reply().unwrap().code(), 226);
        let stored = std::fs::read(home.path().join("file")).unwrap();
        assert_eq!(stored, b"one\r\ntwo\n");
    }

    #[test]
    fn port_is_for_the_local_network() {
        let home = tempfile::tempdir().unwrap();
        let mut near = session(home.path(), "10.0.0.2:1024");
        near.login("user", "12345");
        drop(near.active());
        let mut far = session(home.path(), "203.0.113.2:1024");
        far.login("user", "12345");
        let refused = far.command("PORT 203,0,113,2,200,1");
        assert_eq!(refused, "501 PORT is for the local network, use PASV.");
        assert_eq!(far.command("EPRT |1|203.0.113.2|51201|").code(), 501);
    }
}
