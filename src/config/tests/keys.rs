//! The keys of the file, and the defaults without them.

use std::env;
use std::time::Duration;

use ftpdlib::authorizers::Perms;
use ftpdlib::proto::encoding::{Encoding, UnicodeErrors};
use ftpdlib::proto::network::Network;
use ftpdlib::{ClientAuth, FTPConfig, SessionReuse, TlsVersion};

use super::files::{directory, flags, load, load_from};
use crate::config;
use crate::config::table::SETTINGS;

#[test]
fn all_keys_are_understood() {
    let text = r#"
[server]
address = "127.0.0.1"
port = 0
backlog = 5
max_cons = 7
max_cons_per_ip = 3
max_cons_per_user = 2
concurrency = "pre-fork"
workers = 2

[handler]
timeout = 0
banner = "Welcome."
max_login_attempts = 1
auth_failed_timeout = 0
permit_foreign_addresses = true
permit_privileged_ports = true
masquerade_address = "203.0.113.7"
masquerade_address_map = { "127.0.0.1" = "192.0.2.1" }
passive_ports = "60000-60001"
use_gmt_times = false
use_sendfile = false
upload_lock = false
tcp_no_delay = false
encoding = "latin-1"
unicode_errors = "strict"

[dtp]
timeout = 1.5
ac_in_buffer_size = 2
ac_out_buffer_size = 3
read_limit = 100
write_limit = 200
auto_sized_buffers = false
passive_timeout = 0
active_timeout = 4
"#;
    let settings = load(text, &[]).unwrap();
    assert_eq!(settings.address, "127.0.0.1");
    assert_eq!((settings.port, settings.backlog), (0, 5));
    assert_eq!((settings.max_cons, settings.max_cons_per_ip), (7, 3));
    assert_eq!(settings.max_cons_per_user, 2);
    let handler = &settings.handler;
    assert_eq!(handler.timeout, None);
    assert_eq!(handler.banner, "Welcome.");
    assert_eq!(handler.max_login_attempts, 1);
    assert_eq!(handler.auth_failed_timeout, Duration::ZERO);
    assert!(handler.permit_foreign_addresses && handler.permit_privileged_ports);
    assert_eq!(handler.masquerade_address.as_deref(), Some("203.0.113.7"));
    let local = "127.0.0.1".parse().unwrap();
    assert_eq!(handler.masquerade_address_map[&local], "192.0.2.1");
    assert_eq!(handler.passive_ports, Some(vec![60_000, 60_001]));
    assert!(!handler.use_gmt_times && !handler.use_sendfile && !handler.tcp_no_delay);
    assert!(!handler.upload_lock && FTPConfig::default().upload_lock);
    assert!(handler.encoding == Encoding::by_name("latin-1").unwrap());
    assert!(handler.unicode_errors == UnicodeErrors::Strict);
    assert_eq!(handler.dtp.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(handler.dtp.ac_in_buffer_size, 2);
    assert_eq!(handler.dtp.ac_out_buffer_size, 3);
    assert_eq!(handler.passive_dtp.timeout, None);
    assert_eq!(handler.active_dtp.timeout, Some(Duration::from_secs(4)));
    let throttle = &settings.throttle;
    assert_eq!((throttle.read_limit, throttle.write_limit), (100, 200));
    assert!(!throttle.auto_sized_buffers);
}

#[test]
fn all_fences_are_understood() {
    let text = r#"
[server]
allow_from = ["10.0.0.0/8", "::1"]
deny_from = ["10.1.0.0/16"]
umask = "0027"

[handler]
login_timeout = 0
active_mode = false
deny = ["*.php"]
hide = [".*", "x"]
hide_ids = true
max_upload_size = 1_000
min_free_space = 1_000_000
"#;
    let settings = load(text, &[]).unwrap();
    assert_eq!(settings.umask, Some(0o027));
    let (handler, usual) = (&settings.handler, FTPConfig::default());
    let shown = |networks: &[Network]| networks.iter().map(Network::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&handler.allow_from), ["10.0.0.0/8", "::1/128"]);
    assert_eq!(shown(&handler.deny_from), ["10.1.0.0/16"]);
    assert_eq!(handler.login_timeout, None);
    assert!(!handler.active_mode && usual.active_mode);
    assert_eq!(handler.deny, ["*.php"]);
    assert_eq!(handler.hide, [".*", "x"]);
    assert!(handler.hide_ids && !usual.hide_ids);
    assert_eq!(
        (handler.max_upload_size, handler.min_free_space),
        (1000, 1_000_000)
    );
    assert_eq!((usual.max_upload_size, usual.min_free_space), (0, 0));
}

#[test]
fn all_keys_of_tls_are_understood() {
    let text = r#"
[tls]
certfile = "cert.pem"
keyfile = "/key.pem"
tls_control_required = true
tls_data_required = true
implicit = true
self_signed = false
min_version = "1.3"
client_auth = "optional"
client_ca = "ca.pem"
session_reuse = "require"
strict_eof = true
handshake_timeout = 5

[[tls.certificates]]
certfile = "b.pem"
[[tls.certificates]]
certfile = "c.pem"
keyfile = "c.key"
"#;
    let dir = directory(text);
    let settings = load_from(dir.path(), &[]).unwrap();
    let tls = settings.handler.tls.unwrap();
    let file = |name: &str| Some(dir.path().join(name));
    assert_eq!(tls.certfile, file("cert.pem"));
    assert_eq!(tls.keyfile, Some("/key.pem".into()));
    assert!(tls.tls_control_required && tls.tls_data_required);
    assert!(tls.implicit && tls.strict_eof);
    assert_eq!(tls.min_version, TlsVersion::V1_3);
    assert_eq!(tls.client_auth, ClientAuth::Optional);
    assert_eq!(tls.client_ca, file("ca.pem"));
    assert_eq!(tls.session_reuse, SessionReuse::Require);
    assert_eq!(tls.handshake_timeout, Duration::from_secs(5));
    let [b, c] = &tls.certificates[..] else {
        panic!("{:?}", tls.certificates);
    };
    assert_eq!(
        (Some(&b.certfile), &b.keyfile),
        (file("b.pem").as_ref(), &None)
    );
    assert_eq!(
        (Some(&c.certfile), &c.keyfile),
        (file("c.pem").as_ref(), &file("c.key"))
    );
}

#[test]
fn the_guard_has_its_section() {
    let text = "[guard]\nmax_delay = 2.5\nforget_after = 60\nban_after = 10\nban_time = 5\n\
                connections_per_minute = 30\nallow = ['10.0.0.0/8', '::1']\n\
                [anonymous]\nhome = '.'\n";
    let guard = load_from(directory(text).path(), &[])
        .unwrap()
        .handler
        .guard;
    assert_eq!(guard.max_delay, Duration::from_millis(2500));
    assert_eq!(guard.forget_after, Duration::from_secs(60));
    assert_eq!((guard.ban_after, guard.connections_per_minute), (10, 30));
    assert_eq!(guard.ban_time, Duration::from_secs(5));
    let shown: Vec<_> = guard.allow.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "::1/128"]);
    let text = "[guard]\nallow = []\n[anonymous]\nhome = '.'\n";
    let settings = load_from(directory(text).path(), &[]).unwrap();
    assert!(settings.handler.guard.allow.is_empty());
}

#[test]
fn every_setting_is_in_the_contract_once() {
    let mut keys: Vec<_> = SETTINGS.iter().map(|s| (s.section, s.key)).collect();
    assert_eq!(keys.len(), 64);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 64);
}

#[test]
fn nothing_said_is_as_pyftpdlib() {
    let settings = config::load(&flags(&[])).unwrap();
    assert_eq!((settings.address.as_str(), settings.port), ("", 2121));
    assert_eq!((settings.max_cons, settings.max_cons_per_ip), (512, 0));
    assert_eq!(settings.max_cons_per_user, 0);
    assert_eq!(settings.umask, None);
    assert_eq!(
        settings.handler.login_timeout,
        Some(Duration::from_secs(60))
    );
    let share = settings.share.unwrap();
    assert_eq!(share.username, "anonymous");
    let here = env::current_dir().unwrap().canonicalize().unwrap();
    assert_eq!(share.directory, here);
    let authorizer = &settings.handler.authorizer;
    assert_eq!(authorizer.get_home_dir("anonymous"), Ok(here));
    assert_eq!(authorizer.get_perms("anonymous"), Perms::READ);
}
