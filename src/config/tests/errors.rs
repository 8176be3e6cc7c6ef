//! The texts of what is wrong.

use super::files::{error, load};

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
