//! `[[listen]]`.

use super::files::{error, load};

/// Files, and their errors after `ftpd.toml:`.
const ERRORS: &[(&str, &str)] = &[
    (
        "[[listen]]\naddress = '::1'",
        "1: listen.port: this key is missing",
    ),
    ("listen = []", "1: listen: must have at least one table"),
    (
        "[listen]\nport = 21",
        "1: listen: must be a list of tables: [[listen]]",
    ),
    (
        "[[listen]]\nport = 65536",
        "2: listen.port: must be between 0 and 65535 (got 65536)",
    ),
    (
        "[[listen]]\nport = 21\nprot = 1",
        "3: listen.prot: unknown key; did you mean 'port'?",
    ),
    (
        "[[listen]]\nport = 21\nbacklog = 1",
        "3: listen.backlog: unknown key; [[listen]] has address, port, tls, masquerade_address",
    ),
    (
        "[[listen]]\nport = 21\ntls = 'on'",
        "3: listen.tls: must be one of 'off', 'explicit', 'implicit', not 'on'",
    ),
    (
        "[[listen]]\nport = 21\n[[listen]]\nport = 990\ntls = 'implicit'",
        "3: listen.tls: requires [tls], which has the certificate",
    ),
    (
        "[[listen]]\nport = 21\ntls = 'explicit'",
        "1: listen.tls: requires [tls], which has the certificate",
    ),
    (
        "[tls]\nself_signed = true\ntls_control_required = true\n[[listen]]\nport = 21\ntls = 'off'",
        "4: listen.tls: \"off\" excludes tls_control_required and tls_data_required, with which \
         nobody could log in there",
    ),
    (
        "[tls]\nself_signed = true\ntls_data_required = true\n[[listen]]\nport = 21\ntls = 'off'",
        "4: listen.tls: \"off\" excludes tls_control_required and tls_data_required, with which \
         nobody could log in there",
    ),
    (
        "[server]\nport = 21\n[[listen]]\nport = 990",
        "2: server.port: excludes [[listen]]; use only one of them",
    ),
    (
        "[[listen]]\nport = 990\n[server]\naddress = ''",
        "4: server.address: excludes [[listen]]; use only one of them",
    ),
];

#[test]
fn wrong_listeners_are_errors_with_their_line() {
    for (text, expected) in ERRORS {
        assert_eq!(error(text), format!("ftpd.toml:{expected}"), "{text}");
    }
}

#[test]
fn options_exclude_the_listeners_of_the_file() {
    let text = "[tls]\nself_signed = true\n[[listen]]\nport = 0\ntls = 'explicit'\n";
    for (args, expected) in [
        (
            ["-p", "21"].as_slice(),
            "--port excludes [[listen]] of the file, which says where to listen",
        ),
        (
            &["-i", "::1"],
            "--interface excludes [[listen]] of the file, which says where to listen",
        ),
        (
            &["--tls-implicit"],
            "--tls-implicit excludes the key 'tls' of [[listen]]; use only one of them",
        ),
        (&["--tls-control-required"], ""),
    ] {
        let result = load(text, args);
        assert_eq!(result.err().unwrap_or_default(), expected, "{args:?}");
    }
    let many = "[[listen]]\nport = 0\n".repeat(65);
    assert!(error(&many).contains("must have at most 64 tables (got 65)"));
    let mut settings = load("[[listen]]\nport = 0\nmasquerade_address = '256'", &[]).unwrap();
    let text = crate::config::resolve_masquerade(&mut settings);
    let text = text.unwrap_err().to_string();
    assert!(
        text.contains(":1: listen.masquerade_address: needs an IPv4 address: "),
        "{text}"
    );
}
