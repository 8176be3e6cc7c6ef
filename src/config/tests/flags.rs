//! The flags: alone, and together with a file.

use std::ffi::OsString;
use std::time::Duration;

use ftpdlib::proto::encoding::Encoding;
use ftpdlib::{ClientAuth, SessionReuse, TlsVersion};

use super::files::{directory, flags, load, load_from};
use crate::cli::{self, Stop};
use crate::config;
use crate::config::settings::Settings;
use crate::config::table::SETTINGS;
use crate::config::value::Value;

#[test]
fn flags_win_over_the_file() {
    let text = "[server]\nport = 1\nmax_cons = 5\n[handler]\ntimeout = 1\n[dtp]\ntimeout = 2\n";
    let settings = load(text, &["-p", "2", "--timeout", "9"]).unwrap();
    assert_eq!((settings.port, settings.max_cons), (2, 5));
    let nine = Some(Duration::from_secs(9));
    assert_eq!(settings.handler.timeout, nine);
    assert_eq!(settings.handler.dtp.timeout, nine);
    assert_eq!(
        settings.handler.passive_dtp.timeout,
        Some(Duration::from_secs(30))
    );
}

#[test]
fn every_flag_does_something() {
    let settings = config::load(&flags(&[
        "-i",
        "::1",
        "-p2122",
        "-n",
        "192.0.2.1",
        "-r",
        "8000-8001",
        "--banner",
        "Hi.",
        "--permit-foreign-addresses",
        "--permit-privileged-ports",
        "--encoding",
        "latin-1",
        "--use-localtime",
        "--disable-sendfile",
        "--max-cons",
        "1",
        "--max-cons-per-ip=2",
        "--max-cons-per-user",
        "3",
        "--max-login-attempts",
        "4",
        "--concurrency",
        "async",
        "-p",
        "2123",
    ]))
    .unwrap();
    assert_eq!((settings.address.as_str(), settings.port), ("::1", 2123));
    assert_eq!((settings.max_cons, settings.max_cons_per_ip), (1, 2));
    assert_eq!(settings.max_cons_per_user, 3);
    let handler = &settings.handler;
    assert_eq!(handler.masquerade_address.as_deref(), Some("192.0.2.1"));
    assert_eq!(handler.passive_ports, Some(vec![8000, 8001]));
    assert_eq!(handler.banner, "Hi.");
    assert!(handler.permit_foreign_addresses && handler.permit_privileged_ports);
    assert!(handler.encoding != Encoding::UTF_8);
    assert!(!handler.use_gmt_times && !handler.use_sendfile);
    assert_eq!(handler.max_login_attempts, 4);
}

#[test]
fn every_flag_of_tls_does_something() {
    let settings = config::load(&flags(&[
        "--tls",
        "--certfile",
        "c",
        "--keyfile",
        "k",
        "--tls-control-required",
        "--tls-data-required",
        "--tls-implicit",
        "--tls-min-version",
        "1.3",
        "--tls-client-auth",
        "required",
        "--tls-client-ca",
        "a",
        "--tls-session-reuse",
        "off",
    ]))
    .unwrap();
    let tls = settings.handler.tls.unwrap();
    assert_eq!(tls.certfile, Some("c".into()));
    assert_eq!(tls.keyfile, Some("k".into()));
    assert!(tls.tls_control_required && tls.tls_data_required && tls.implicit);
    assert_eq!(tls.min_version, TlsVersion::V1_3);
    assert_eq!(tls.client_auth, ClientAuth::Required);
    assert_eq!(tls.client_ca, Some("a".into()));
    assert_eq!(tls.session_reuse, SessionReuse::Off);
}

#[test]
fn a_flag_brings_another_certificate_with_its_key() {
    let text = "[tls]\ncertfile = 'c'\nkeyfile = 'k'\ntls_data_required = true\n";
    let dir = directory(text);
    let tls = |args: &[&str]| load_from(dir.path(), args).unwrap().handler.tls.unwrap();
    let file = |name: &str| Some(dir.path().join(name));
    for args in [[].as_slice(), &["--tls"]] {
        let tls = tls(args);
        assert_eq!((tls.certfile, tls.keyfile), (file("c"), file("k")));
        assert!(tls.tls_data_required && !tls.tls_control_required);
    }
    let config = tls(&["--tls", "--certfile", "other"]);
    assert_eq!(
        (config.certfile, config.keyfile),
        (Some("other".into()), None)
    );
    assert!(config.tls_data_required);
    let config = tls(&["--tls", "--keyfile", "other"]);
    assert_eq!(
        (config.certfile, config.keyfile),
        (file("c"), Some("other".into()))
    );
}

#[test]
fn words_that_completions_offer_are_taken() {
    for setting in SETTINGS {
        let words = setting.flag.map_or(&[][..], |flag| flag.values);
        for word in words {
            let set = (setting.set)(&mut Settings::default(), &Value::Text(word));
            assert_eq!(set, Ok(()), "{}: {word}", setting.key);
        }
    }
}

#[test]
fn the_help_has_every_flag() {
    let args = ["ftpdlib", "--help"].map(OsString::from);
    let Err(Stop::Help(help)) = cli::parse(args) else {
        panic!("no help");
    };
    let help = help.render().to_string();
    for flag in SETTINGS.iter().filter_map(|setting| setting.flag) {
        assert!(help.contains(&format!("--{}", flag.long)), "{}", flag.long);
    }
    for flag in ["-d,", "-w,", "-u,", "-P,", "-D,", "-V,", "-h,", "--config"] {
        assert!(help.contains(flag), "{flag}");
    }
}
