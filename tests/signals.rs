//! What each signal does to each kind of process.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::Write;
use std::process::Command;
use std::thread;

use testkit::{Client, Mode, PASSWORD, Program, Terminal, USER, signal, wait_for};

const FTPDLIB: &str = env!("CARGO_BIN_EXE_ftpdlib");

const MODELS: [&[&str]; 4] = [
    &["--concurrency", "async"],
    &["--concurrency", "multi-thread"],
    &["--concurrency", "multi-proc"],
    &["--concurrency", "pre-fork", "--workers", "2"],
];

const NOTHING: &str = "] SIGHUP: there is nothing to read again\n";

/// The children of a program, once there are all of them.
fn children(program: &Program, model: &[&str]) -> Vec<u32> {
    let count = match model[1] {
        "pre-fork" => 2,
        // One for the session that the test has opened.
        "multi-proc" => 1,
        _ => 0,
    };
    wait_for("all processes", || {
        let starts = program.log().matches(">>> starting FTP server").count();
        program.children().len() == count && (model[1] != "pre-fork" || starts == 2)
    });
    program.children()
}

#[test]
fn no_process_ends_at_hup_usr1_and_usr2() {
    for model in MODELS {
        let program = Program::start(FTPDLIB, Mode::Clear, model);
        let mut client = program.login();
        let children = children(&program, model);
        let mut hang_ups = 0;
        for pid in children.iter().copied().chain([program.pid()]) {
            for name in ["USR1", "USR2", "HUP"] {
                assert!(signal(name, &pid.to_string()));
            }
            hang_ups += 1;
            wait_for("the line of SIGHUP", || {
                program.log().matches(NOTHING).count() == hang_ups
            });
            client.expect(200, "NOOP");
        }
        for name in ["USR1", "USR2", "HUP"] {
            program.signal_all(name);
        }
        hang_ups += children.len() + 1;
        wait_for("the lines of SIGHUP", || {
            program.log().matches(NOTHING).count() == hang_ups
        });
        client.expect(200, "NOOP");
        assert_eq!(program.children(), children, "{model:?}");
        let mut other = program.login();
        other.expect(221, "QUIT");
        assert!(!program.log().contains("restarting"), "{}", program.log());
        program.stop();
    }
}

/// The program may take a while before it serves.
#[test]
fn signals_before_the_start_are_survived() {
    let dir = tempfile::tempdir().unwrap();
    let (config, number) = (dir.path().join("config"), dir.path().join("pid"));
    let made = Command::new("mkfifo").arg(&config).status();
    assert!(made.unwrap().success());
    thread::scope(|scope| {
        scope.spawn(|| {
            // Waits until the program reads its settings.
            let mut settings = fs::File::options().write(true).open(&config).unwrap();
            let pid = fs::read_to_string(&number).unwrap();
            for name in ["USR1", "USR2", "HUP"] {
                assert!(signal(name, pid.trim()));
            }
            settings.write_all(b"[server]\n").unwrap();
        });
        let tell = format!("echo $$ >'{}'", number.display());
        let args = ["--config", config.to_str().unwrap()];
        let program = Program::start_after(&tell, FTPDLIB, Mode::Clear, &args);
        drop(program.login());
        program.stop();
    });
}

// --- terminals

/// Whether SIGHUP is ignored here, and so in each program that is started here.
fn ignores_hang_up() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    ignored & 1 == 1
}

const SHARE: [&str; 8] = ["-i", "127.0.0.1", "-p", "0", "-u", USER, "-P", PASSWORD];

fn on_terminal(program: &str, args: &[&[&str]]) -> (Program, Terminal, Client) {
    let home = tempfile::tempdir().unwrap();
    let (program, terminal) = Program::on_terminal(program, &args.concat(), home);
    let client = program.login();
    (program, terminal, client)
}

#[test]
fn a_terminal_that_hangs_up_ends_the_program() {
    if ignores_hang_up() {
        return;
    }
    for model in MODELS {
        let (mut program, terminal, mut client) = on_terminal(FTPDLIB, &[&SHARE, model]);
        // A signal alone is no hang-up.
        program.signal("HUP");
        program.expect_log("SIGHUP: there is nothing to read again");
        client.expect(200, "NOOP");
        terminal.hang_up();
        client.expect_shutdown();
        assert_eq!(program.wait().code(), Some(0), "{model:?}");
    }
}

/// Checks that the program serves although its terminal has hung up, and ends it.
#[track_caller]
fn expect_service(mut program: Program, mut client: Client) {
    for _ in 0..3 {
        client.expect(200, "NOOP");
        program.signal_all("HUP");
        program.connect().expect(221, "QUIT");
    }
    program.signal("TERM");
    client.expect_shutdown();
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn a_service_outlives_its_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("ftpd.toml");
    let home = dir.path().display();
    let toml = format!(
        "[server]\nport = 0\naddress = \"127.0.0.1\"\n\
         [[users]]\nname = \"{USER}\"\npassword = \"{PASSWORD}\"\nhome = \"{home}\"\n"
    );
    fs::write(&config, toml).unwrap();
    for model in MODELS {
        let args = [&["--config", config.to_str().unwrap()][..], model];
        let (program, terminal, client) = on_terminal(FTPDLIB, &args);
        terminal.hang_up();
        expect_service(program, client);
    }
}

/// As `nohup` does.
#[test]
fn a_program_that_ignores_hang_ups_outlives_its_terminal() {
    for model in MODELS {
        let nohup = ["-c", "trap '' HUP; exec \"$0\" \"$@\"", FTPDLIB];
        let (program, terminal, client) = on_terminal("sh", &[&nohup, &SHARE, model]);
        terminal.hang_up();
        expect_service(program, client);
    }
}
