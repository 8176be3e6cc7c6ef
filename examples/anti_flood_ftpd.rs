//! Bans a client for an hour when it sends more than 300 commands in a second:
//! `cargo run --example anti_flood_ftpd [ADDRESS] [DIRECTORY]`, then
//! `yes NOOP | nc 127.0.0.1 2121`, twice.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::{Command, TimerId, dispatch};
use ftpdlib::{AuthorizerError, FTPConfig, FTPHandler, FTPServer, FTPSession};

const COMMANDS_PER_SECOND: u32 = 300;
const BAN: Duration = Duration::from_secs(3600);

/// The banned addresses, and the end of each ban; all sessions share them.
type Banned = Arc<Mutex<HashMap<IpAddr, Instant>>>;

#[derive(Default)]
struct AntiFlood {
    banned: Banned,
    seen: u32,
}

impl FTPHandler for AntiFlood {
    fn on_connect(&mut self, s: &mut FTPSession) {
        let mut banned = self.banned.lock().unwrap_or_else(PoisonError::into_inner);
        let now = s.now();
        banned.retain(|_, until| *until > now);
        if banned.contains_key(&s.remote_ip()) {
            s.respond("550 You are banned.");
            s.close_when_done();
        } else {
            s.call_every(Duration::from_secs(1));
        }
    }

    fn process_command(&mut self, s: &mut FTPSession, cmd: &Command<'_>) {
        self.seen += 1;
        if self.seen > COMMANDS_PER_SECOND {
            self.ban(s);
        } else {
            dispatch::process_command(self, s, cmd); // super
        }
    }

    /// A second has passed.
    fn on_timer(&mut self, _s: &mut FTPSession, _id: TimerId) {
        self.seen = 0;
    }
}

impl AntiFlood {
    fn ban(&mut self, s: &mut FTPSession) {
        let (ip, seconds) = (s.remote_ip(), BAN.as_secs());
        s.log(format_args!("banned IP {ip} for command flooding"));
        let mut banned = self.banned.lock().unwrap_or_else(PoisonError::into_inner);
        banned.insert(ip, s.now() + BAN);
        s.respond(format!("550 You are banned for {seconds} seconds."));
        s.close();
    }
}

fn config(home: &str) -> Result<FTPConfig, AuthorizerError> {
    let authorizer = DummyAuthorizer::new();
    authorizer.add_anonymous(home)?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);
    Ok(config)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let banned = Banned::default();
    let factory = move |_peer| AntiFlood {
        banned: Arc::clone(&banned),
        seen: 0,
    };
    FTPServer::bind(&address, config(&home)?, factory)?.serve_forever()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ftpdlib::testing::Session;

    use super::*;

    #[test]
    fn bans_for_too_many_commands_in_a_second() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path().to_str().unwrap()).unwrap();
        let banned = Banned::default();
        let handler = || AntiFlood {
            banned: Arc::clone(&banned),
            seen: 0,
        };
        let mut session = Session::new(config.clone(), handler()).unwrap();
        for _ in 0..3 {
            for _ in 0..COMMANDS_PER_SECOND {
                assert_eq!(session.command("NOOP").code(), 200);
            }
            session.advance(Duration::from_secs(1));
        }
        session.send(&b"NOOP\r\n".repeat(301));
        let replies = std::iter::from_fn(|| session.reply());
        assert_eq!(replies.last().unwrap().code(), 550);
        assert!(session.is_closed());
        let again = Session::new(config, handler()).unwrap();
        assert_eq!(*again.greeting(), "550 You are banned.");
    }
}
