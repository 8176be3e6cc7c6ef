//! The error texts.

use super::files::{error, load};

/// Files, and their errors after `ftpd.toml:`.
const ERRORS: &[(&str, &str)] = &[
    (
        "[handler]\nlogin_timeout = -1",
        "2: handler.login_timeout: must be between 0 and 1000000000 seconds (got -1)",
    ),
    (
        "[handler]\nlogin_timeout = 'never'",
        "2: handler.login_timeout: must be a number of seconds, not a string",
    ),
    (
        "[server]\nallow_from = '10.0.0.0/8'",
        "2: server.allow_from: must be a list of networks, not a string",
    ),
    (
        "[server]\nallow_from = [\n'::1',\n10]",
        "4: server.allow_from: each network must be a string, not an integer",
    ),
    (
        "[server]\ndeny_from = [\n'10.0.0.0/33']",
        "3: server.deny_from: '10.0.0.0/33' is not a network; write an address, or one with a \
         prefix such as 10.0.0.0/8 or 2001:db8::/32",
    ),
    (
        "[server]\ndeny_from = ['10.1.2.3/8']",
        "2: server.deny_from: '10.1.2.3/8' has bits after its prefix; write 10.0.0.0/8",
    ),
    (
        "[server]\numask = 27",
        "2: server.umask: must be a string, not an integer",
    ),
    (
        "[server]\numask = '028'",
        "2: server.umask: must be an octal number up to \"777\" such as \"027\", not '028'",
    ),
    (
        "[server]\numask = '1777'",
        "2: server.umask: must be an octal number up to \"777\" such as \"027\", not '1777'",
    ),
    (
        "[handler]\nmax_upload_size = -1",
        "2: handler.max_upload_size: must be 0 or more (got -1)",
    ),
    (
        "[handler]\nmax_upload_size = '1 GB'",
        "2: handler.max_upload_size: must be an integer, not a string",
    ),
    (
        "[handler]\nmin_free_space = 0.5",
        "2: handler.min_free_space: must be an integer, not a float",
    ),
    (
        "[handler]\nhide = ['.git', 'a/b']",
        "2: handler.hide: 'a/b' is not the pattern of a name; write it without '/'",
    ),
    (
        "[handler]\ndeny = ['']",
        "2: handler.deny: must not have an empty pattern",
    ),
    (
        "[handler]\ndeny = '*.php'",
        "2: handler.deny: must be a list of patterns, not a string",
    ),
    (
        "[handler]\nhide_ids = 'yes'",
        "2: handler.hide_ids: must be true or false, not a string",
    ),
    (
        "[handler]\nactive_mode = 0",
        "2: handler.active_mode: must be true or false, not an integer",
    ),
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
    (
        "server = 1",
        "1: server: must be a table ([server]), not an integer",
    ),
    (
        "[handler]\nuse_sendfile = 1",
        "2: handler.use_sendfile: must be true or false, not an integer",
    ),
    (
        "[guard]\nban_after = -1",
        "2: guard.ban_after: must be between 0 and 2147483647 (got -1)",
    ),
    (
        "[guard]\nban_time = 0",
        "2: guard.ban_time: must be greater than 0",
    ),
    (
        "[guard]\nforget_after = 0.0",
        "2: guard.forget_after: must be greater than 0",
    ),
    (
        "[guard]\nmax_delay = 'long'",
        "2: guard.max_delay: must be a number of seconds, not a string",
    ),
    (
        "[guard]\nallow = '::1'",
        "2: guard.allow: must be a list of networks, not a string",
    ),
    (
        "[guard]\nallow = ['::1', '10.0.0.1/8']",
        "2: guard.allow: '10.0.0.1/8' has bits after its prefix; write 10.0.0.0/8",
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
        "2: handler.encoding: unknown encoding: 'x'; examples are utf-8, latin-1, cp1251, gbk",
    ),
    (
        "[handler]\nunicode_errors = 'x'",
        "2: handler.unicode_errors: must be 'replace', 'strict' or 'surrogateescape', not 'x'",
    ),
    (
        "\n[tls]\nkeyfile = 'x'",
        "2: tls.certfile: this key is missing (or set self_signed = true)",
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
        "2: tls.handshake_timeout: must be greater than 0",
    ),
    (
        "[tls]\ncertificates = 'x'",
        "2: tls.certificates: must be a list of tables: [[tls.certificates]]",
    ),
    (
        "[tls]\ncertfile = 'x'\n[[tls.certificates]]\nkeyfile = 'x'",
        "3: tls.certificates: each certificate needs the key certfile",
    ),
    (
        "[tls]\ncertfile = 'x'\n[[tls.certificates]]\ncertfil = 'x'",
        "4: tls.certificates: unknown key 'certfil'; each certificate has certfile, keyfile",
    ),
    (
        "[tls]\ncertfile = 'x'\n[[tls.certificates]]\ncertfile = 5",
        "4: tls.certificates: certfile must be a string, not an integer",
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
        "[anonymous]\nhome = ''",
        "2: anonymous.home: must not be empty",
    ),
    (
        "[[users]]\nname = 'joe'\npassword = 'x'\nhome = ''",
        "4: users.home: must not be empty",
    ),
    (
        "[anonymous]\nhome = 'pub'\nperm = 'elx'",
        "3: anonymous.perm: no such permission 'x'; the permissions are letters of elradfmwMT",
    ),
    (
        "[[anonymous]]\nhome = 'pub'",
        "1: anonymous: must be a table ([anonymous]), not an array",
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
    // Likely mistakes: names of options, keys of other programs, text without quotes.
    (
        "[server]\nmax-cons-per-ip = 1",
        "2: server.max-cons-per-ip: unknown key; did you mean 'max_cons_per_ip'?",
    ),
    (
        "[handler]\nnat-address = ''",
        "2: handler.nat-address: unknown key; the key of --nat-address is \
         'masquerade_address' in [handler]",
    ),
    (
        "[dtp]\nspeed = 1",
        "2: dtp.speed: unknown key; [dtp] has timeout, passive_timeout, active_timeout, \
         ac_in_buffer_size, ac_out_buffer_size, read_limit, write_limit, auto_sized_buffers",
    ),
    (
        "[logging]",
        "1: logging: unknown section; there are anonymous, dtp, guard, handler, listen, server, tls, users",
    ),
    (
        "[[server]]",
        "1: server: must be a table ([server]), not an array",
    ),
    (
        "users = [5]",
        "1: users: must be a table ([[users]]), not an integer",
    ),
    (
        "[server]\naddress = 127.0.0.1",
        "2: invalid float: '.0.1' (put text in quotes)",
    ),
    (
        "[server]\naddress = localhost",
        "2: string values must be quoted, expected literal string: 'localhost'",
    ),
    ("[server]\nport = 021", "2: unexpected leading zero: '0'"),
    // The line is that of the wrong part, not the one where the value begins.
    (
        "[handler]\npassive_ports = [\n5,\n0]",
        "4: handler.passive_ports: port numbers must be between 1 and 65535 (got 0)",
    ),
    (
        "[handler.masquerade_address_map]\n\n'10.0.0.x' = 'y'",
        "3: handler.masquerade_address_map: '10.0.0.x' is not an IP address",
    ),
    (
        "[handler.masquerade_address_map]\n'10.0.0.1' = 5",
        "2: handler.masquerade_address_map: the value of '10.0.0.1' must be a string, not an \
         integer",
    ),
    (
        "[tls]\ncertfile = 'x'\n[[tls.certificates]]\ncertfile = 'x'\n[[tls.certificates]]",
        "5: tls.certificates: each certificate needs the key certfile",
    ),
    // Passwords with which nobody could log in, or which do not mean what they seem to.
    (
        "[[users]]\nname = 'joe'\npassword = ''\nhome = 'joe'",
        "3: users.password: must not be empty",
    ),
    (
        "[[users]]\nname = 'joe'\nhome = 'joe'\npassword = '$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVk'",
        "4: users.password: looks like a hash; the password must be in clear text",
    ),
    (
        "[[users]]\nname = 'joe'\nhome = 'joe'\npassword = \"a\\nb\"",
        "4: users.password: must not contain CR, LF or NUL: no client can send these",
    ),
    (
        "[[users]]\nname = \"j\\r\"",
        "2: users.name: must not contain CR, LF or NUL: no client can send these",
    ),
    (
        "[[users]]\nname = 'anonymous'\npassword = ''\nhome = 'pub'\n[anonymous]\nhome = 'pub'",
        "3: users.password: anonymous has no password, any is accepted; use [anonymous]",
    ),
    (
        "[[users]]\nname = 'anonymous'\npassword = 'secret'\nhome = 'pub'",
        "3: users.password: anonymous has no password, any is accepted; use [anonymous]",
    ),
    (
        "[anonymous]\nname = 'joe'",
        "2: anonymous.name: unknown key; [anonymous] has home, perm, msg_login, msg_quit, \
         override_perm",
    ),
    (
        "[anonymous]\nhome = 'pub'\n[[anonymous.override_perm]]\nfolder = 'x'",
        "4: anonymous.override_perm.folder: unknown key; [[anonymous.override_perm]] has path, \
         perm, recursive",
    ),
    // Settings that exclude or require each other.
    (
        "[server]\nworkers = 2",
        "2: server.workers: requires concurrency = \"pre-fork\" in [server]",
    ),
    (
        "[tls]\nself_signed = true\ncertfile = 'c'",
        "2: tls.self_signed: excludes certfile; use only one of them",
    ),
    (
        "[tls]\nself_signed = true\nkeyfile = 'k'",
        "2: tls.self_signed: excludes keyfile; a self-signed certificate is made with its own key",
    ),
    (
        "[tls]\nself_signed = true\nclient_auth = 'required'",
        "3: tls.client_auth: requires client_ca, the authorities of the certificates",
    ),
    (
        "[tls]\nself_signed = true\nclient_ca = 'x'",
        "3: tls.client_ca: requires client_auth = \"optional\" or \"required\"",
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
    let self_signed = "[tls]\nself_signed = true\n";
    for (file, args, expected) in [
        (
            "",
            ["--tls"].as_slice(),
            "--tls requires --certfile (or use --tls-self-signed)",
        ),
        (
            "",
            &["--tls", "--keyfile", "k"],
            "--tls requires --certfile (or use --tls-self-signed)",
        ),
        (
            "",
            &["--certfile", "c"],
            "--keyfile and --certfile require --tls",
        ),
        (
            "",
            &["--keyfile", "k"],
            "--keyfile and --certfile require --tls",
        ),
        (
            "",
            &["--tls-control-required"],
            "--tls-control-required requires --tls",
        ),
        (
            "",
            &["--tls-self-signed", "--certfile", "c"],
            "--tls-self-signed excludes --certfile; use only one of them",
        ),
        (
            "",
            &["--tls", "--tls-self-signed", "--certfile", "c"],
            "--tls-self-signed excludes --certfile; use only one of them",
        ),
        (
            "",
            &["--tls", "--tls-self-signed", "--keyfile", "k"],
            "--tls-self-signed excludes --keyfile; a self-signed certificate is made with its own \
             key",
        ),
        (
            self_signed,
            &["--tls", "--keyfile", "k"],
            "ftpd.toml:2: tls.self_signed: excludes --keyfile; a self-signed certificate is made \
             with its own key",
        ),
        (
            self_signed,
            &["--tls-client-auth", "required"],
            "--tls-client-auth requires --tls-client-ca, the authorities of the certificates",
        ),
        (
            self_signed,
            &["--tls-client-ca", "x"],
            "--tls-client-ca requires --tls-client-auth optional or required",
        ),
    ] {
        assert_eq!(load(file, args).unwrap_err(), expected, "{file} {args:?}");
    }
}

#[test]
fn a_user_is_there_once_and_has_a_home() {
    let joe = "[[users]]\nname = 'joe'\npassword = 'x'\nhome = 'joe'\n";
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
