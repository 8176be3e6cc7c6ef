//! Settings of one session, which hooks set.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::proto::encoding::Encoding;
use ftpdlib::testing::Session;
use ftpdlib::{FTPConfig, FTPHandler, FTPSession, ThrottledDTPHandler};
use testkit::pattern;

use super::place::{Place, place, reply};
use super::{MINUTE, SECOND};

/// A place with a second user, who has the same home.
fn two_users() -> Place {
    let mut place = place();
    let users = DummyAuthorizer::new();
    for user in ["user", "other"] {
        let added = users.add_user(user, "12345", place.home.path(), "elradfmwMT");
        added.unwrap();
    }
    place.config.set_authorizer(users);
    place
}

/// Passes a function what it does for a new client, and another one what it does at a login.
struct Hooks<C, L>(C, L);

impl<C: FnMut(&mut FTPSession), L: FnMut(&mut FTPSession, &str)> FTPHandler for Hooks<C, L> {
    fn on_connect(&mut self, s: &mut FTPSession) {
        (self.0)(s);
    }

    fn on_login(&mut self, s: &mut FTPSession, username: &str) {
        (self.1)(s, username);
    }
}

#[test]
fn the_greeting_and_the_features() {
    let handler = Hooks(
        |s: &mut FTPSession| {
            s.set_banner("Hello.");
            assert!(s.add_feature("MD5"));
            assert!(s.add_feature("AVBL\r\n200 forged"));
        },
        |_: &mut FTPSession, _: &str| {},
    );
    let mut session = Session::new(FTPConfig::default(), handler).unwrap();
    assert_eq!(session.greeting(), "220 Hello.");
    let features = session.command("FEAT");
    let lines = features.lines();
    assert!(lines.contains(&" MD5".to_owned()), "{lines:?}");
    assert!(lines.contains(&" AVBL??200 forged".to_owned()), "{lines:?}");
    session.with(|_, s| {
        for _ in 2..64 {
            assert!(s.add_feature("MD5"));
        }
        assert!(!s.add_feature("one more"));
    });
    let lines = session.command("FEAT").lines().to_vec();
    assert_eq!(lines.iter().filter(|line| *line == " MD5").count(), 1);
}

#[test]
fn the_address_of_pasv() {
    let mut place = place();
    place.config.masquerade_address = Some("192.0.2.1".to_owned());
    let (local, mapped) = ([127, 0, 0, 1].into(), "192.0.2.2".to_owned());
    place.config.masquerade_address_map.insert(local, mapped);
    let mut session = place.login();
    let mut shown = |own: Option<Option<Ipv4Addr>>| {
        if let Some(own) = own {
            session.with(|_, s| s.set_masquerade_address(own));
        }
        let reply = session.command("PASV");
        assert_eq!(reply.code(), 227);
        let text = reply.text().to_owned();
        let (_, rest) = text.split_once('(').unwrap();
        rest.split(',').take(4).collect::<Vec<_>>().join(".")
    };
    assert_eq!(shown(None), "192.0.2.2");
    assert_eq!(shown(Some(Some(Ipv4Addr::new(192, 0, 2, 3)))), "192.0.2.3");
    assert_eq!(shown(Some(None)), "127.0.0.1");
    session.with(|_, s| s.reset_settings());
    assert!(session.command("PASV").text().contains("(192,0,2,2,"));
}

/// The server itself is found behind the address that it shows one session, and the others.
#[test]
fn no_port_against_the_server_itself() {
    let mut place = place();
    place.config.permit_foreign_addresses = true;
    place.config.masquerade_address = Some("192.0.2.1".to_owned());
    let mut session = place.login();
    session.with(|_, s| s.set_masquerade_address(Some(Ipv4Addr::new(192, 0, 2, 3))));
    for last in [1, 3] {
        let reply = session.command(&format!("PORT 192,0,2,{last},8,73"));
        assert_eq!(reply.code(), 501, "{reply}");
    }
}

#[test]
fn the_ports_of_pasv() {
    let mut session = place().login();
    session.with(|_, s| s.set_passive_ports([0, 40_000, 40_001].as_slice()));
    for _ in 0..10 {
        let port = session.command("PASV").port().unwrap();
        assert!((40_000..=40_001).contains(&port), "{port}");
    }
    let shared: Arc<[u16]> = vec![40_002].into();
    session.with(|_, s| s.set_passive_ports(Arc::clone(&shared)));
    assert_eq!(session.command("EPSV").port(), Some(40_002));
    assert_eq!(Arc::strong_count(&shared), 2);
    session.with(|_, s| s.set_passive_ports(Vec::new()));
    assert_ne!(session.command("EPSV").port(), Some(40_002));
}

#[test]
fn silence_between_commands() {
    let here = place();
    let mut session = here.login();
    session.advance(299 * SECOND);
    // It begins anew.
    session.with(|_, s| s.set_timeout(Some(10 * SECOND)));
    session.advance(9 * SECOND);
    assert_eq!(session.command("NOOP").code(), 200);
    session.advance(9 * SECOND);
    assert_eq!(session.reply(), None);
    session.with(|_, s| s.set_timeout(None));
    session.advance(600 * MINUTE);
    assert_eq!(session.command("NOOP").code(), 200);
    // It does not run while a data connection is open, and runs after that.
    let data = session.passive();
    session.with(|_, s| s.set_timeout(Some(SECOND)));
    session.advance(MINUTE);
    assert_eq!(session.reply(), None);
    assert_eq!(session.command("STOR a").code(), 125);
    drop(data);
    assert_eq!(reply(&mut session), "226 Transfer complete.");
    session.advance(SECOND);
    let text = "421 Control connection timed out.";
    assert_eq!(reply(&mut session), text);
}

#[test]
fn the_time_to_log_in_is_not_prolonged_by_commands() {
    let mut session = place().connect();
    session.with(|_, s| s.set_login_timeout(Some(100 * SECOND)));
    session.advance(90 * SECOND);
    session.with(|_, s| s.set_login_timeout(Some(95 * SECOND)));
    session.advance(4 * SECOND);
    assert_eq!(session.reply(), None);
    session.advance(SECOND);
    assert_eq!(reply(&mut session), "421 Login timed out.");
    let mut session = place().connect();
    session.with(|_, s| s.set_login_timeout(None));
    session.advance(90 * SECOND);
    assert_eq!(session.command("NOOP").code(), 200);
    // From here on.
    session.with(|_, s| s.set_login_timeout(Some(5 * SECOND)));
    session.advance(4 * SECOND);
    assert_eq!(session.reply(), None);
    // A time that is over already ends at once.
    session.with(|_, s| s.set_login_timeout(Some(SECOND)));
    session.advance(Duration::ZERO);
    session.advance(Duration::from_millis(1));
    assert_eq!(reply(&mut session), "421 Login timed out.");
}

#[test]
fn time_outs_of_data_connections() {
    let here = place();
    let mut session = here.login();
    session.with(|_, s| s.set_passive_timeout(Some(5 * SECOND)));
    session.command("PASV");
    session.advance(5 * SECOND);
    let text = "421 Passive data channel timed out.";
    assert_eq!(reply(&mut session), text);
    session.with(|_, s| s.set_passive_timeout(None));
    session.with(|_, s| s.set_timeout(None));
    let port = session.command("PASV").port().unwrap();
    session.advance(60 * MINUTE);
    let data = session.connect([127, 0, 0, 1].into(), port).unwrap();
    assert_eq!(session.command("STOR a").code(), 125);
    session.advance(60 * SECOND);
    // It counts from the last progress.
    session.with(|_, s| s.set_dtp_timeout(Some(70 * SECOND)));
    session.advance(9 * SECOND);
    assert_eq!(session.reply(), None);
    session.advance(SECOND);
    assert_eq!(reply(&mut session), "421 Data connection timed out.");
    drop(data);
    let mut place = place();
    place.config.permit_foreign_addresses = true;
    let mut session = place.login();
    session.with(|_, s| s.set_active_timeout(Some(5 * SECOND)));
    session.send(b"PORT 192,0,2,1,200,1\r\n");
    session.advance(5 * SECOND);
    let text = "421 Active data channel timed out.";
    assert_eq!(reply(&mut session), text);
}

#[test]
fn the_encoding() {
    let place = place();
    let mut session = place.login();
    session.with(|_, s| s.set_encoding(Encoding::by_name("latin1").unwrap()));
    session.send(b"MKD caf\xe9\r\n");
    assert_eq!(
        session.receive(),
        b"257 \"/caf\xe9\" directory created.\r\n"
    );
    assert!(place.home.path().join("café").is_dir());
    let features = session.command("FEAT");
    assert!(!features.lines().contains(&" UTF8".to_owned()));
    assert_eq!(session.command("OPTS UTF8 ON").code(), 501);
    session.with(|_, s| s.set_encoding(Encoding::UTF_8));
    assert_eq!(session.list("NLST").unwrap(), "café\r\n");
}

/// What is set at a login ends with it, and what is set before stays.
#[test]
fn settings_of_a_login() {
    let place = two_users();
    let handler = Hooks(
        |s: &mut FTPSession| {
            s.set_passive_ports(vec![40_000]);
            s.set_timeout(Some(MINUTE));
        },
        |s: &mut FTPSession, username: &str| {
            if username == "user" {
                s.set_passive_ports(vec![40_001]);
                s.set_timeout(None);
                s.set_throttle(1000, 1000);
            }
        },
    );
    let mut session = Session::new(place.config, handler).unwrap();
    for end in ["REIN", "USER other"] {
        session.login("user", "12345");
        assert_eq!(session.command("EPSV").port(), Some(40_001), "{end}");
        session.advance(Duration::from_secs(29));
        session.command(end);
        session.login("other", "12345");
        assert_eq!(session.command("EPSV").port(), Some(40_000), "{end}");
        let start = session.elapsed();
        assert_eq!(session.stor("a", &pattern(10_000)).code(), 226);
        assert_eq!(session.elapsed(), start, "not throttled");
    }
    session.advance(MINUTE);
    let text = "421 Control connection timed out.";
    assert_eq!(reply(&mut session), text);
}

/// Transfers of 10,000 bytes take ten seconds at 1,000 bytes per second, whatever moves them.
#[test]
fn the_speed_of_transfers() {
    for throttled in [false, true] {
        let mut place = place();
        if throttled {
            let handler = || ThrottledDTPHandler::new().write_limit(1 << 20);
            place.config.set_dtp_handler(handler);
        }
        let bytes = pattern(10_000);
        place.write("a", &bytes);
        let mut session = place.login();
        session.command("TYPE I");
        session.with(|_, s| s.set_throttle(0, 1000));
        let start = session.elapsed();
        assert!(session.retr("a").unwrap() == bytes);
        let took = session.elapsed() - start;
        assert!((9 * SECOND..=11 * SECOND).contains(&took), "{took:?}");
        let start = session.elapsed();
        assert_eq!(session.stor("b", &bytes).code(), 226);
        assert_eq!(session.elapsed(), start, "only downloads are limited");
        session.with(|_, s| s.set_throttle(1000, 0));
        let start = session.elapsed();
        assert_eq!(session.stor("b", &bytes).code(), 226);
        let took = session.elapsed() - start;
        assert!((9 * SECOND..=11 * SECOND).contains(&took), "{took:?}");
    }
}

#[test]
fn the_speed_changes_during_a_transfer() {
    let place = place();
    let bytes = pattern(60_000);
    place.write("a", &bytes);
    let mut session = place.login();
    session.command("TYPE I");
    session.with(|_, s| s.set_throttle(0, 1));
    let mut data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    let mut received = data.read();
    session.advance(10 * SECOND);
    received.extend(data.read());
    assert!((9..=11).contains(&received.len()), "{}", received.len());
    // Also in the middle of a pause.
    session.with(|_, s| s.set_throttle(0, 1000));
    session.advance(10 * SECOND);
    received.extend(data.read());
    let size = received.len();
    assert!((9_000..=11_000).contains(&size), "{size}");
    session.with(|_, s| s.set_throttle(0, 0));
    received.extend(data.read_to_end());
    assert!(received == bytes);
    assert_eq!(reply(&mut session), "226 Transfer complete.");
}

/// Nobody speeds up a transfer with another login.
#[test]
fn a_transfer_keeps_its_speed_after_a_logout() {
    let place = two_users();
    place.write("a", &pattern(60_000));
    let handler = Hooks(
        |_: &mut FTPSession| {},
        |s: &mut FTPSession, username: &str| match username {
            "user" => s.set_throttle(0, 1000),
            _ => s.set_throttle(0, 0),
        },
    );
    let mut session = Session::new(place.config.clone(), handler).unwrap();
    session.login("user", "12345");
    session.command("TYPE I");
    let mut data = session.passive();
    assert_eq!(session.command("RETR a").code(), 125);
    session.login("other", "12345");
    session.advance(10 * SECOND);
    let size = data.read().len();
    assert!((9_000..=11_000).contains(&size), "{size}");
}

#[test]
fn settings_take_no_memory_from_others() {
    // A handler that sets nothing, as most.
    let mut session = Session::new(FTPConfig::default(), StockHandler).unwrap();
    session.with(|_, s| s.reset_settings());
    assert_eq!(session.command("NOOP").code(), 200);
}

#[test]
fn the_facts_of_listings() {
    let place = place();
    let handler = Hooks(
        |s: &mut FTPSession| {
            assert_eq!(
                s.select_facts("type;unix.mode;x;").unwrap(),
                "type;unix.mode;"
            );
            assert!(s.select_facts("type").is_err());
        },
        |_: &mut FTPSession, _: &str| {},
    );
    let mut session = Session::new(place.config.clone(), handler).unwrap();
    let features = session.command("FEAT");
    let mlst = features
        .lines()
        .iter()
        .find(|line| line.starts_with(" MLST "));
    let mlst = mlst.expect("it is there");
    assert!(
        mlst.contains("unix.mode*;") && mlst.contains("size;"),
        "{mlst}"
    );
    session.login("user", "12345");
    let entry = session.command("MLST /");
    assert!(
        entry.lines()[1].starts_with(" type=dir;unix.mode=0"),
        "{entry:?}"
    );
}
