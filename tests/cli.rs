//! The program as a process: each startup error is one line and status 2, and
//! nothing listens.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use testkit::authority::Pair;
use testkit::{Program, write_wrong_files};

fn ftpdlib(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ftpdlib"))
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap()
}

/// The one line that the program prints before it exits with status 2, without the
/// name of the program.
fn refused(dir: &Path, args: &[&str]) -> String {
    let output = ftpdlib(dir, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert_eq!(output.stdout, b"", "{args:?}");
    let line = stderr.strip_suffix('\n').unwrap();
    assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    line.strip_prefix("ftpdlib: error: ").unwrap().to_owned()
}

/// The same for a configuration file with this text, and no option but `--config`.
fn refused_file(text: impl AsRef<[u8]>) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ftpd.toml"), text).unwrap();
    refused(dir.path(), &["--config", "ftpd.toml"])
}

#[test]
fn help_and_version_are_no_errors() {
    let dir = tempfile::tempdir().unwrap();
    for flag in ["-h", "--help", "-V", "--version"] {
        let output = ftpdlib(dir.path(), &[flag]);
        assert_eq!(output.status.code(), Some(0), "{flag}");
        assert_eq!(output.stderr, b"", "{flag}");
        let text = String::from_utf8(output.stdout).unwrap();
        let expected = match flag {
            "-h" | "--help" => "--max-login-attempts",
            _ => env!("CARGO_PKG_VERSION"),
        };
        assert!(text.contains(expected), "{flag}: {text}");
    }
}

/// A full disk is an error; a pipe without a reader is none.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_an_error() {
    for args in [["-h"].as_slice(), &["-V"], &["--generate", "man"]] {
        let print_to = |stdout: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ftpdlib"));
            command.args(args).stdout(stdout).output().unwrap()
        };
        let full = fs::File::create("/dev/full").unwrap();
        let output = print_to(full.into());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "ftpdlib: error: cannot write to standard output: No space left on device\n"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = print_to(writer.into());
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(output.stderr, b"", "{args:?}");
    }
}

#[test]
fn workers_are_of_pre_fork_only() {
    let dir = tempfile::tempdir().unwrap();
    let expected = "--workers requires --concurrency pre-fork";
    assert_eq!(refused(dir.path(), &["--workers", "3"]), expected);
    let threads = ["--workers", "3", "--concurrency", "multi-thread"];
    assert_eq!(refused(dir.path(), &threads), expected);
    assert_eq!(
        refused_file("[server]\nworkers = 3\n"),
        "ftpd.toml:2: server.workers: requires concurrency = \"pre-fork\" in [server]"
    );
}

#[test]
fn what_is_no_option_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (args, expected) in [
        (
            ["--prot", "1"].as_slice(),
            "unknown option '--prot'; did you mean '--port'? (--help lists all options)",
        ),
        (&["-x"], "unknown option '-x' (--help lists all options)"),
        (
            &["extra"],
            "unexpected argument 'extra' (--help lists all options)",
        ),
        (&["-p"], "--port: a value is required (--port <PORT>)"),
        (&["--tls=yes"], "--tls: takes no value (got 'yes')"),
    ] {
        assert_eq!(refused(dir.path(), args), expected, "{args:?}");
    }
}

#[test]
fn wrong_flags_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for (args, expected) in [
        (
            ["-p", "x"].as_slice(),
            "--port: must be an integer, not 'x'",
        ),
        (&["-p", "65536"], "--port: must be between 0 and 65535"),
        (&["-p", "-1"], "--port: must be between 0 and 65535"),
        (
            &["-u", "joe"],
            "if username (-u) is supplied, password (-P) is required",
        ),
        (&["-u", "joe", "-P", ""], "password (-P) is required"),
        (&["-u", "", "-P", "x"], "--username: must not be empty"),
        (
            &["-r", "5"],
            "--range: invalid port range: '5' (expected FROM-TO)",
        ),
        (
            &["-r", "0-5"],
            "--range: port numbers must be between 1 and 65535 (got 0-5)",
        ),
        (
            &["-r", "9-5"],
            "--range: start port must not be above stop port (got 9-5)",
        ),
        (&["-d", "none"], "--directory: no such directory: 'none'"),
        (&["-d", ""], "--directory: no such directory: ''"),
        (&["--encoding", "x"], "--encoding: unknown encoding: 'x'"),
        (&["--timeout", "-1"], "--timeout: must be between 0 and"),
        (&["--timeout", "inf"], "--timeout: must be between 0 and"),
        (
            &["--max-login-attempts", "0"],
            "--max-login-attempts: must be between 1 and",
        ),
        (
            &["--tls"],
            "--tls requires --certfile (or use --tls-self-signed)",
        ),
        (
            &["--certfile", "x"],
            "--keyfile and --certfile require --tls",
        ),
        (
            &["--tls-data-required"],
            "--tls-data-required requires --tls",
        ),
        (
            &["--tls-self-signed", "--tls-session-reuse", "never"],
            "--tls-session-reuse: must be one of 'off', 'prefer', 'require', not 'never'",
        ),
        (&["--max-cons", "many"], "--max-cons: must be an integer"),
        (&["--workers", "x"], "--workers: must be an integer"),
        (
            &["--concurrency", "x"],
            "--concurrency: invalid concurrency 'x'",
        ),
        (
            &["-i", "192.0.2.1"],
            "cannot listen on 192.0.2.1, port 2121: ",
        ),
    ] {
        let line = refused(dir.path(), args);
        assert!(line.contains(expected), "{args:?}: {line}");
    }
}

#[test]
fn what_has_no_ipv4_address_is_no_masquerade_address() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "ftp.example.invalid",
        "::1",
        "0.0.0.0",
        "256.1.1.1",
        "a b",
        "1.2.3",
        "2130706433",
        "0x7f000001",
        "127.1",
    ] {
        let line = refused(dir.path(), &["-n", name]);
        let expected = format!("--nat-address needs an IPv4 address: '{name}' has no IPv4 address");
        assert!(line.starts_with(&expected), "{line}");
        for (key, value) in [
            ("masquerade_address", format!("'{name}'")),
            (
                "masquerade_address_map",
                format!("{{ '10.0.0.1' = '{name}' }}"),
            ),
        ] {
            let line = refused_file(format!(
                "[handler]\n{key} = {value}\n[anonymous]\nhome = '.'\n"
            ));
            let expected =
                format!("ftpd.toml:2: handler.{key}: needs an IPv4 address: '{name}' has no ");
            assert!(line.starts_with(&expected), "{line}");
        }
    }
    assert_eq!(
        refused(dir.path(), &["-n", ""]),
        "--nat-address: must not be empty"
    );
}

#[test]
fn accounts_of_the_command_line_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    for (args, expected) in [
        (["-P", "x"].as_slice(), "username (-u) is required"),
        (&["-P", "x", "-w"], "username (-u) is required"),
        (&["-P", ""], "username (-u) is required"),
        (&["-u", "anonymous"], "--username: anonymous needs neither"),
        (
            &["-u", "anonymous", "-P", "x"],
            "--username: anonymous needs neither",
        ),
        (
            &["-u", "j\noe", "-P", "x"],
            "--username: must not contain CR",
        ),
        (
            &["-u", "joe", "-P", "x\r"],
            "--password: must not contain CR",
        ),
        (
            &[
                "-u",
                "joe",
                "-P",
                "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3O",
            ],
            "--password: looks like a hash",
        ),
    ] {
        let line = refused(dir.path(), args);
        assert!(line.contains(expected), "{args:?}: {line}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (path, expected) in [
        (
            "none.toml",
            "none.toml: cannot be read: No such file or directory",
        ),
        (".", ".: cannot be read: Is a directory"),
        ("", "--config: must not be empty"),
    ] {
        assert_eq!(refused(dir.path(), &["--config", path]), expected);
    }
}

#[test]
fn what_is_wrong_in_the_file_is_named_with_its_line() {
    for (text, expected) in [
        (
            "[server]\n\nport = 'x'",
            "ftpd.toml:3: server.port: must be an integer, not a string",
        ),
        (
            "[server]\nprot = 1",
            "ftpd.toml:2: server.prot: unknown key",
        ),
        ("# comment\n[sever]", "ftpd.toml:2: sever: unknown section"),
        ("[server\nport = 1", "ftpd.toml:1: "),
        (
            "[server]\nconcurrency = 'multi'",
            "ftpd.toml:2: server.concurrency: ",
        ),
        (
            "[tls]\ntls_data_required = true",
            "ftpd.toml:1: tls.certfile: this key is missing",
        ),
        (
            "[handler]\npassive_ports = '1-70000'",
            "ftpd.toml:2: handler.passive_ports: port numbers must be between 1 and 65535",
        ),
        (
            "[anonymous]\nhome = 'none'",
            "ftpd.toml:2: anonymous.home: no such directory: 'none'",
        ),
        (
            "[[users]]\nname = 'joe'",
            "ftpd.toml:1: users.password: this key is missing",
        ),
        (
            "[[users]]\nname='a'\npassword='x'\nhome='.'\n[[users]]\nname='a'\npassword='x'\nhome='.'",
            "ftpd.toml:6: users.name: user 'a' already exists",
        ),
    ] {
        let line = refused_file(text);
        assert!(line.starts_with(expected), "{text}: {line}");
    }
}

#[test]
fn wrong_certificates_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for &(certfile, keyfile, expected) in write_wrong_files(dir.path()) {
        let mut args = vec!["--tls", "--certfile", certfile];
        args.extend(keyfile.iter().flat_map(|keyfile| ["--keyfile", keyfile]));
        assert_eq!(
            refused(dir.path(), &args),
            format!("TLS: {expected}"),
            "{args:?}"
        );
    }
    // Paths in the file refer to the directory of the file.
    fs::create_dir(dir.path().join("etc")).unwrap();
    Pair::new(&["localhost"]).write(dir.path(), "etc/good");
    let path = dir.path().join("etc/ftpd.toml");
    let text = "[tls]\ncertfile = 'good.pem'\nkeyfile = 'none.key'\n[anonymous]\nhome = '.'\n";
    fs::write(path, text).unwrap();
    assert_eq!(
        refused(dir.path(), &["--config", "etc/ftpd.toml"]),
        "TLS: etc/none.key: cannot be read: No such file or directory"
    );
    let line = refused(
        dir.path(),
        &["--tls-self-signed", "--tls-client-auth", "required"],
    );
    assert!(
        line.starts_with("--tls-client-auth requires --tls-client-ca"),
        "{line}"
    );
}

/// Starts the program in a directory with these files of mode 0644, and returns what it logs.
fn log_of(files: &[(&str, &str)], args: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_ftpdlib"));
    command.args(["-i", "127.0.0.1", "-p", "0"]).args(args);
    command.current_dir(dir.path());
    let program = Program::spawn(command, dir);
    let log = program.log();
    program.stop();
    log
}

#[test]
fn a_file_without_accounts_is_refused() {
    for text in ["", "[handler]\nbanner = 'x'\n", "users = []\n"] {
        let line = refused_file(text);
        assert!(
            line.starts_with("ftpd.toml: has no accounts; add "),
            "{line}"
        );
    }
}

/// As a service is started: in `/`.
#[test]
fn the_root_is_not_shared_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ftpd.toml");
    let run = |text: &str, args: &[&str]| {
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ftpdlib"));
        command
            .args(["-i", "127.0.0.1", "-p", "0", "--config"])
            .arg(&file)
            .args(args);
        let output = command
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let server = "[server]\nmax_cons = 100\n";
    for args in [[].as_slice(), &["-w"], &["-D", "-w"]] {
        let line = run(server, args);
        assert!(line.contains(": has no accounts; add "), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    let line = run(server, &["-P", "x"]);
    assert!(line.contains("username (-u) is required"), "{line}");
    for args in [
        ["-u", "joe", "-P", "x"].as_slice(),
        &["-d", "."],
        &["-d", "/proc/.."],
    ] {
        let line = run(server, args);
        assert!(line.contains("--directory: it would be /; "), "{line}");
    }
}

/// Without a file the program is as pyftpdlib is.
#[test]
fn the_root_is_shared_with_a_warning_without_a_file() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ftpdlib"));
    command
        .args(["-i", "127.0.0.1", "-p", "0"])
        .current_dir("/");
    let program = Program::spawn(command, tempfile::tempdir().unwrap());
    let log = program.log();
    program.stop();
    assert!(
        log.contains("/ is shared, and with it all files that this process can read"),
        "{log}"
    );
    assert!(
        log.contains("sharing / (read-only) with anonymous"),
        "{log}"
    );
}

#[test]
fn the_log_says_where_the_accounts_come_from() {
    let users = "[[users]]\nname = 'joe'\npassword = 'x'\nhome = '.'\n[anonymous]\nhome = '.'\n";
    let file = [("ftpd.toml", users)];
    for (args, expected) in [
        (
            ["--config", "ftpd.toml"].as_slice(),
            "] accounts: 2 (1 user, anonymous), from ftpd.toml\n",
        ),
        (
            &["--config", "ftpd.toml", "-d", "."],
            "] accounts: 1 (anonymous), from the command line, which replaces those of ftpd.toml\n",
        ),
        (
            &["-u", "ann", "-P", "x"],
            "] accounts: 1 (ann), from the command line\n",
        ),
        (&[], "] accounts: 1 (anonymous), by default\n"),
    ] {
        let log = log_of(&file, args);
        assert!(log.contains(expected), "{log}");
        assert_eq!(log.matches("accounts: ").count(), 1, "{log}");
    }
}

#[test]
fn secrets_that_others_can_read_give_a_warning() {
    let file = "[[users]]\nname = 'joe'\npassword = 'x'\nhome = '.'\n";
    let log = log_of(&[("ftpd.toml", file)], &["--config", "ftpd.toml"]);
    assert!(
        log.contains("] ftpd.toml has passwords, and other users of this machine can read it;"),
        "{log}"
    );
    let pair = Pair::new(&["localhost"]);
    let key = pair.key.as_str();
    let files = [("c.pem", pair.certificate.as_str()), ("k.pem", key)];
    let log = log_of(
        &files,
        &["--tls", "--certfile", "c.pem", "--keyfile", "k.pem"],
    );
    assert!(
        log.contains("] k.pem has a private key, and all users of this machine can read it;"),
        "{log}"
    );
    // Root gets another warning.
    let warnings = log.lines().filter(|line| line.starts_with("[W "));
    let about_files = warnings.filter(|line| !line.contains(" runs as root"));
    assert_eq!(about_files.count(), 1, "{log}");
}

#[test]
fn what_is_no_text_is_refused() {
    assert_eq!(
        refused_file(b"[server]\n\xff"),
        "ftpd.toml:2: not UTF-8, the encoding of TOML"
    );
    let long = "#".repeat((4 << 20) + 1);
    assert!(refused_file(long).contains("more than"));
    // The error shows the key, without the control characters that act on a terminal.
    let line = refused_file("[server]\n\"\\u001b[2J\\n\" = 1");
    assert!(line.contains(r"server.\x1b[2J\n: unknown key"), "{line}");
}

#[test]
fn an_address_in_use_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let line = refused(dir.path(), &["-i", "127.0.0.1", "-p", &port]);
    assert_eq!(
        line,
        format!(
            "cannot listen on 127.0.0.1, port {port}: Address already in use; \
             choose another --port, or end the other server"
        )
    );
}

/// What `--generate` prints.
fn generated(what: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = ftpdlib(dir.path(), &["--generate", what]);
    assert_eq!(output.status.code(), Some(0), "{what}");
    assert_eq!(output.stderr, b"", "{what}");
    String::from_utf8(output.stdout).unwrap()
}

/// The long options of the help.
fn long_options() -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let help = String::from_utf8(ftpdlib(dir.path(), &["-h"]).stdout).unwrap();
    let head = |line: &str| line.trim_start().starts_with('-');
    let lines = help.lines().filter(|line| head(line));
    let option = |line: &str| {
        let word = line.split_whitespace().find(|word| word.starts_with("--"));
        word.unwrap().to_owned()
    };
    lines.map(option).collect()
}

/// The keys of docs/CONFIGURATION.md, which a test of the manual compares with the table.
fn keys() -> impl Iterator<Item = &'static str> {
    let file = include_str!("../docs/CONFIGURATION.md");
    let rows = file.lines().filter(|line| line.starts_with("| "));
    rows.filter_map(|row| row.split('`').nth(1))
        .map(|key| key.trim_matches(['[', ']']).trim_start_matches("tls."))
}

#[test]
fn the_manual_names_every_option_and_key() {
    // Roff has `\-` for a minus sign, as in an option.
    let manual = generated("man").replace("\\-", "-");
    let options = long_options();
    assert!(options.len() > 30, "{options:?}");
    for option in options {
        assert!(manual.contains(&format!("\\fB{option}\\fR")), "{option}");
    }
    assert!(keys().count() > 50);
    for key in keys() {
        assert!(manual.contains(&format!("\n\\fB{key}\\fR (")), "{key}");
    }
    for section in [
        "[server]",
        "[[users]]",
        "SIGNALS",
        "EXIT STATUS",
        "EXAMPLES",
    ] {
        assert!(manual.contains(section), "{section}");
    }
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = generated(&format!("complete-{shell}"));
        for option in long_options() {
            assert!(script.contains(&option[2..]), "{shell}: {option}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script");
        fs::write(&path, script).unwrap();
        // A shell that is not installed cannot check the script.
        let Ok(output) = Command::new(shell).arg("-n").arg(&path).output() else {
            continue;
        };
        assert!(output.status.success(), "{shell}: {output:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let line = refused(dir.path(), &["--generate", "x"]);
    assert!(
        line.starts_with("--generate: must be one of 'man', 'complete-bash', "),
        "{line}"
    );
}
