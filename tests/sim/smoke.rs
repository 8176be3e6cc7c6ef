//! The simplest world, by hand: one client logs in, stores a file and fetches it. The tests of the
//! simulator itself begin here.

use std::time::Duration;

use crate::plan::scene::{Answers, Encoding, Home, Scene, Settings, Tls, Tree, User};
use crate::plan::step::{Client, Connect, Data, End, Pace, Step, Temper, Way};
use crate::script::{Net, Script};
use crate::world::run;

/// A world with one client, which does these steps.
pub fn script(steps: Vec<Step>) -> Script {
    let scene = Scene {
        settings: settings(),
        users: vec![User {
            name: "joe".to_owned(),
            password: "secret".to_owned(),
            home: 0,
            perms: "elradfmwMT".to_owned(),
            msg_login: "Login successful.".to_owned(),
            msg_quit: "Goodbye.".to_owned(),
        }],
        homes: vec![Home {
            root: "/home/0".to_owned(),
            tree: Tree::new(),
            private: true,
            marker: "marker-0".to_owned(),
        }],
        clients: vec![Client {
            from: "127.0.0.2:40000".parse().unwrap(),
            arrives: Duration::ZERO,
            temper: Temper::Orderly,
            pace: Pace::FAST,
            steps,
        }],
    };
    Script {
        nets: vec![Net::perfect(0)],
        scene,
        disturbances: Vec::new(),
        schedule: 1,
        hurried: 0,
        capacity: usize::MAX,
        reads: usize::MAX,
        buffers: (65_536, 65_536),
        ports: 0,
    }
}

/// The usual settings.
pub fn settings() -> Settings {
    Settings {
        address: "127.0.0.1:21".parse().unwrap(),
        banner: "ready.".to_owned(),
        timeout: Duration::from_secs(300),
        login_timeout: Duration::from_secs(60),
        data_timeout: Duration::from_secs(300),
        passive_timeout: Duration::from_secs(30),
        active_timeout: Duration::from_secs(30),
        auth_failed_timeout: Duration::from_secs(3),
        max_login_attempts: 3,
        max_cons: 512,
        max_cons_per_ip: 0,
        max_cons_per_user: 0,
        permit_foreign: false,
        permit_privileged: false,
        encoding: Encoding::Utf8,
        tls: Tls::Off,
        throttle: (0, 0),
        authorizer: Answers::AtOnce,
        upload_lock: true,
        tick: Duration::ZERO,
    }
}

/// A command whose reply the client waits for.
pub fn command(line: &str) -> Step {
    Step::Command {
        line: line.as_bytes().to_vec(),
        wait: true,
    }
}

/// A transfer whose end the client waits for.
pub fn transfer(way: Way, line: &str, data: Data) -> [Step; 2] {
    [
        Step::Open {
            way,
            connect: Connect::Now,
        },
        Step::Transfer {
            line: line.as_bytes().to_vec(),
            wait: true,
            data,
        },
    ]
}

/// What an orderly client does.
pub fn steps() -> Vec<Step> {
    let mut steps = vec![command("USER joe"), command("PASS secret"), command("PWD")];
    let upload = Data::Upload {
        bytes: b"hello\r\nworld\n".repeat(100),
        pieces: vec![100, 7],
        cut: None,
        end: End::Fin,
        eager: false,
    };
    let download = Data::Download {
        read: None,
        end: End::Fin,
    };
    steps.push(command("TYPE I"));
    steps.extend(transfer(Way::Pasv, "STOR file", upload.clone()));
    steps.extend(transfer(Way::Port, "STOR other", upload));
    steps.extend(transfer(Way::Epsv, "RETR file", download.clone()));
    steps.extend(transfer(Way::Eprt, "MLSD", download));
    steps.push(command("QUIT"));
    steps
}

pub fn checks() -> Vec<(&'static str, fn())> {
    vec![("smoke: an orderly client", orderly)]
}

fn orderly() {
    let report = run(&script(steps()), true).map_err(|failure| {
        let trace = &failure.trace;
        format!("{failure}\n{trace}")
    });
    let report = report.unwrap();
    for part in ["226 ", "FileReceived", "FileSent", "221 "] {
        assert!(report.trace.contains(part), "{part} in {}", report.trace);
    }
}
