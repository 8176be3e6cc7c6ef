//! Settings of whole files and command lines.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ftpdlib::authorizers::{Perm, Perms};
use ftpdlib::proto::encoding::{Encoding, UnicodeErrors};
use ftpdlib::{ClientAuth, SessionReuse, TlsVersion};

use super::flags::Flags;
use super::load as load_flags;
use super::settings::Settings;
use super::table::SETTINGS;
use super::value::Value;
use crate::cli::{self, Stop};

/// A directory with `ftpd.toml` of this text, `pub/` and `joe/archive/`.
fn directory(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("joe/archive")).unwrap();
    fs::create_dir(dir.path().join("pub")).unwrap();
    fs::write(dir.path().join("ftpd.toml"), text).unwrap();
    dir
}

fn flags(args: &[&str]) -> Flags {
    let args = ["ftpdlib"].iter().chain(args).map(OsString::from);
    cli::parse(args).unwrap()
}

fn load_from(dir: &Path, args: &[&str]) -> Result<Settings, String> {
    let file = dir.join("ftpd.toml").to_str().unwrap().to_owned();
    let args: Vec<&str> = ["--config", &file].iter().chain(args).copied().collect();
    let result = load_flags(&flags(&args));
    // Errors as they are where the file is named without its directory.
    result.map_err(|err| err.to_string().replace(&file, "ftpd.toml"))
}

fn load(text: &str, args: &[&str]) -> Result<Settings, String> {
    load_from(directory(text).path(), args)
}

fn error(text: &str) -> String {
    load(text, &[]).unwrap_err()
}

const ACCOUNTS: &str = r#"
[[users]]
name = "joe"
password = "secret"
home = "joe"
perm = "elradfmwMT"
msg_login = "Hello."

[[users.override_perm]]
path = "archive"
perm = "elr"
recursive = true

[anonymous]
home = "pub"
msg_quit = "Bye."
"#;

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
    assert!(handler.encoding == Encoding::by_name("latin-1").unwrap());
    assert!(handler.unicode_errors == UnicodeErrors::Strict);
    assert_eq!(handler.dtp.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(handler.dtp.ac_in_buffer_size, 2);
    assert_eq!(handler.dtp.ac_out_buffer_size, 3);
    assert_eq!(handler.passive_dtp.timeout, None);
    assert_eq!(handler.active_dtp.timeout, Some(Duration::from_secs(4)));
    let limits = &settings.limits;
    assert_eq!((limits.read_limit, limits.write_limit), (100, 200));
    assert!(!limits.auto_sized_buffers);
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
fn every_setting_is_in_the_contract_once() {
    let mut keys: Vec<_> = SETTINGS.iter().map(|s| (s.section, s.key)).collect();
    assert_eq!(keys.len(), 44);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 44);
}

#[test]
fn nothing_said_is_as_pyftpdlib() {
    let settings = load_flags(&flags(&[])).unwrap();
    assert_eq!((settings.address.as_str(), settings.port), ("", 2121));
    assert_eq!((settings.max_cons, settings.max_cons_per_ip), (512, 0));
    assert_eq!(settings.max_cons_per_user, 0);
    let share = settings.share.unwrap();
    assert_eq!(share.username, "anonymous");
    let here = env::current_dir().unwrap().canonicalize().unwrap();
    assert_eq!(share.directory, here);
    let authorizer = &settings.handler.authorizer;
    assert_eq!(authorizer.get_home_dir("anonymous"), Ok(here));
    assert_eq!(authorizer.get_perms("anonymous"), Perms::READ);
}

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
    let settings = load_flags(&flags(&[
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
    let settings = load_flags(&flags(&[
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
fn tls_is_not_half_wanted() {
    assert!(load("", &[]).unwrap().handler.tls.is_none());
    let error = |args: &[&str]| load("", args).unwrap_err();
    let text = "--tls requires --certfile (or use --tls-self-signed)";
    assert_eq!(error(&["--tls"]), text);
    assert_eq!(error(&["--tls", "--keyfile", "k"]), text);
    let text = "--keyfile and --certfile require --tls";
    assert_eq!(error(&["--certfile", "c"]), text);
    assert_eq!(error(&["--keyfile", "k"]), text);
    assert_eq!(error(&["--tls-self-signed", "--certfile", "c"]), text);
    let text = "--tls-control-required requires --tls";
    assert_eq!(error(&["--tls-control-required"]), text);
    let text = "a certfile and a self-signed certificate exclude each other";
    let args = ["--tls", "--tls-self-signed", "--certfile", "c"];
    assert_eq!(error(&args), text);
    let both = "[tls]\nself_signed = true\ncertfile = 'c'";
    assert_eq!(load(both, &[]).unwrap_err(), text);
    let text = "a self-signed certificate has a key of its own: there is no keyfile";
    let with_key = "[tls]\nself_signed = true\nkeyfile = 'k'";
    assert_eq!(load(with_key, &[]).unwrap_err(), text);
    let args = ["--tls", "--tls-self-signed", "--keyfile", "k"];
    assert_eq!(error(&args), text);
}

#[test]
fn accounts_are_read() {
    let dir = directory(ACCOUNTS);
    let home = dir.path().canonicalize().unwrap();
    let settings = load_from(dir.path(), &[]).unwrap();
    assert!(settings.share.is_none());
    let authorizer = settings.handler.authorizer;
    assert_eq!(authorizer.get_home_dir("joe"), Ok(home.join("joe")));
    assert_eq!(authorizer.get_perms("joe"), Perms::ALL);
    assert_eq!(authorizer.get_msg_login("joe"), "Hello.");
    assert_eq!(authorizer.get_msg_quit("joe"), "Goodbye.");
    let may = |path: &str| authorizer.has_perm("joe", Perm::Write, Some(&home.join(path)));
    assert!(may("joe/file") && !may("joe/archive/deep/file"));
    assert_eq!(authorizer.get_home_dir("anonymous"), Ok(home.join("pub")));
    assert_eq!(authorizer.get_perms("anonymous"), Perms::READ);
    assert_eq!(authorizer.get_msg_quit("anonymous"), "Bye.");
}

#[test]
fn account_flags_replace_all_accounts() {
    let dir = directory(ACCOUNTS);
    let path = dir.path().to_str().unwrap();
    let settings = load_from(dir.path(), &["-u", "ann", "-P", "x", "-d", path, "-w"]).unwrap();
    let authorizer = settings.handler.authorizer;
    assert!(authorizer.has_user("ann"));
    assert!(!authorizer.has_user("joe") && !authorizer.has_user("anonymous"));
    assert_eq!(authorizer.get_perms("ann"), Perms::ALL);
    for flags in [["-d", path].as_slice(), &["-w"], &["-P", "x"]] {
        let settings = load_from(dir.path(), flags).unwrap();
        let authorizer = settings.handler.authorizer;
        assert!(authorizer.has_user("anonymous") && !authorizer.has_user("joe"));
    }
    // Homes of accounts that are not used need not exist; the file must be right.
    let text = "[anonymous]\nhome = 'none'\n";
    assert!(load(text, &["-d", path]).is_ok());
    assert!(load("[anonymous]\nhome = 5\n", &["-d", path]).is_err());
}

#[test]
fn an_empty_list_of_users_lets_nobody_in() {
    let settings = load("users = []\n", &[]).unwrap();
    assert!(!settings.handler.authorizer.has_user("anonymous"));
}

/// Files, and their errors after `ftpd.toml:`.
const ERRORS: &[(&str, &str)] = &[
    (
        "\n[server]\nport = 70000",
        "3: server.port: must be between 0 and 65535 (got 70000)",
    ),
    (
        "[server]\nprot = 1",
        "2: server.prot: unknown key; did you mean 'port'?",
    ),
    (
        "[sever]",
        "1: sever: unknown section; did you mean 'server'?",
    ),
    (
        "[server]\nbanner = ''",
        "2: server.banner: unknown key; 'banner' belongs to [handler]",
    ),
    (
        "port = 1",
        "1: port: unknown section; 'port' belongs to [server]",
    ),
    ("server = 1", "1: server: must be a table, not an integer"),
    (
        "[handler]\nuse_sendfile = 1",
        "2: handler.use_sendfile: must be true or false, not an integer",
    ),
    (
        "[handler]\nmax_login_attempts = 0",
        "2: handler.max_login_attempts: must be between 1 and 2147483647 (got 0)",
    ),
    (
        "[dtp]\nac_in_buffer_size = 0",
        "2: dtp.ac_in_buffer_size: must be between 1 and 16777216 (got 0)",
    ),
    (
        "[dtp]\nread_limit = -1",
        "2: dtp.read_limit: must be 0 or more (got -1)",
    ),
    (
        "[handler]\nencoding = 'x'",
        "2: handler.encoding: unknown encoding: 'x'",
    ),
    (
        "[handler]\nunicode_errors = 'x'",
        "2: handler.unicode_errors: must be 'replace', 'strict' or 'surrogateescape', not 'x'",
    ),
    (
        "\n[tls]\nkeyfile = 'x'",
        "2: tls.certfile: this key is missing",
    ),
    ("[tls]\ncertfile = ''", "2: tls.certfile: must not be empty"),
    (
        "[tls]\nmin_version = '1.1'",
        "2: tls.min_version: must be one of '1.2', '1.3', not '1.1'",
    ),
    (
        "[tls]\nmin_version = 1.2",
        "2: tls.min_version: must be a string, not a float",
    ),
    (
        "[tls]\nclient_auth = true",
        "2: tls.client_auth: must be a string, not a boolean",
    ),
    (
        "[tls]\nhandshake_timeout = 0",
        "2: tls.handshake_timeout: must be more than 0: who never shakes hands must go",
    ),
    (
        "[tls]\ncertificates = 'x'",
        "2: tls.certificates: must be a list of tables: [[tls.certificates]]",
    ),
    (
        "[tls]\ncertfile = 'x'\n[[tls.certificates]]\nkeyfile = 'x'",
        "3: tls.certificates: each certificate has a certfile",
    ),
    (
        "[tls]\ncertfile = 'x'\n[[tls.certificates]]\ncertfil = 'x'",
        "3: tls.certificates: unknown key 'certfil'",
    ),
    (
        "[tls]\ncertfile = 'x'\n[[tls.certificates]]\ncertfile = 5",
        "3: tls.certificates: certfile must be a string, not an integer",
    ),
    ("[server]\nport = 1\nport = 2", "3: duplicate key: 'port'"),
    (
        "[server]\nport = 1\n[handler]\nbanner = 'x'\n[server]",
        "5: duplicate key: 'server'",
    ),
    (
        "[users]\nname = 'joe'",
        "1: users: must be a list of tables: [[users]]",
    ),
    (
        "\n[[users]]\nname = 'joe'\nhome = 'joe'",
        "2: users.password: this key is missing",
    ),
    ("[[users]]\nname = ''", "2: users.name: must not be empty"),
    (
        "[[users]]\nnmae = ''",
        "2: users.nmae: unknown key; did you mean 'name'?",
    ),
    ("[anonymous]", "1: anonymous.home: this key is missing"),
    (
        "[anonymous]\nhome = 'pub'\nperm = 'elx'",
        "3: anonymous.perm: no such permission 'x'",
    ),
    (
        "[[anonymous]]\nhome = 'pub'",
        "1: anonymous: must be a table, not an array",
    ),
    (
        "[anonymous]\nhome = 'pub'\n[[anonymous.override_perm]]\npath = '.'\nperm = ''",
        "4: anonymous.override_perm.path: can't override home directory permissions",
    ),
    (
        "[anonymous]\nhome = 'pub'\n[[anonymous.override_perm]]\npath = '../joe'\nperm = ''",
        "4: anonymous.override_perm.path: path escapes user home directory",
    ),
    (
        "[anonymous]\nhome = 'pub'\n[[anonymous.override_perm]]\npath = 'x'",
        "3: anonymous.override_perm.perm: this key is missing",
    ),
];

#[test]
fn errors_have_a_place_and_a_name() {
    for (text, expected) in ERRORS {
        assert_eq!(error(text), format!("ftpd.toml:{expected}"), "{text}");
    }
}

#[test]
fn a_user_is_there_once_and_has_a_home() {
    let joe = "[[users]]\nname = 'joe'\npassword = ''\nhome = 'joe'\n";
    assert_eq!(
        error(&joe.repeat(2)),
        "ftpd.toml:6: users.name: user 'joe' already exists"
    );
    let homeless = joe
        .replace("'joe'\n", "'joe/x'\n")
        .replacen("joe/x", "joe", 1);
    let text = error(&homeless);
    assert!(
        text.starts_with("ftpd.toml:4: users.home: no such directory: '/"),
        "{text}"
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
fn the_help_tells_every_flag() {
    let args = ["ftpdlib", "--help"].map(OsString::from);
    let Err(Stop::Asked(help)) = cli::parse(args) else {
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
