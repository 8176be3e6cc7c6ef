//! The table of what clients do. To add a command, add a row.

use super::hostile;
use super::transfers;
use super::walker::Walker;

pub type Action = fn(&mut Walker<'_>);

pub const ACTIONS: &[(usize, Action)] = &[
    // Transfers, see `transfers`.
    (100, transfers::download),
    (100, transfers::upload),
    (60, transfers::listing),
    (12, transfers::open_only),
    (12, transfers::without_port),
    (14, transfers::interrupted),
    (8, transfers::two_transfers),
    // Files.
    (28, |w| {
        let path = w.a_dir();
        w.say_path("CWD", &path);
        if path.starts_with('/') && w.dirs.contains(&path) {
            w.cwd = path;
        }
    }),
    (8, |w| {
        w.say("CDUP");
        w.cwd = "/".to_owned();
        w.say("CWD /");
    }),
    (8, |w| w.say("PWD")),
    (30, |w| {
        let path = w.new_absolute();
        let written = w.written(&path);
        w.say_path("MKD", &written);
        w.dirs.push(path);
    }),
    (12, |w| {
        let at = w.draw.below(w.dirs.len());
        let path = match at {
            0 => w.a_dir(),
            _ => w.dirs.remove(at),
        };
        w.say_path("RMD", &path);
    }),
    (16, |w| match w.files.is_empty() {
        true => {
            let path = w.anything();
            w.say_path("DELE", &path);
        }
        false => {
            let at = w.draw.below(w.files.len());
            let path = w.files.remove(at);
            let path = w.written(&path);
            w.say_path("DELE", &path);
        }
    }),
    (4, |w| {
        let path = w.anything();
        w.say_path("DELE", &path);
    }),
    (25, rename),
    (4, |w| {
        let path = w.anything();
        w.say_path("RNFR", &path);
    }),
    (3, |w| {
        let path = w.anything();
        w.say_path("RNTO", &path);
    }),
    (16, |w| {
        let path = w.a_file();
        w.say_path("SIZE", &path);
    }),
    (14, |w| {
        let path = w.a_file();
        w.say_path("MDTM", &path);
    }),
    (14, |w| {
        let times = [
            "20200102030405",
            "19700101000000",
            "20991231235959",
            "20200229235960",
            "20200101000000.5",
            "20200230000000",
            "2020",
            "x",
        ];
        let time = *w.draw.of(&times);
        let path = w.anything();
        w.say_path(&format!("MFMT {time}"), &path);
    }),
    (12, |w| {
        let mode = *w
            .draw
            .of(&["644", "0600", "755", "4755", "777", "8", "77777", "u+x"]);
        let path = w.anything();
        w.say_path(&format!("SITE CHMOD {mode}"), &path);
    }),
    (16, |w| {
        let path = w.anything();
        w.say_path("MLST", &path);
    }),
    (16, |w| {
        let path = w.anything();
        w.say_path("STAT", &path);
    }),
    (2, hostile::flood),
    // Parameters.
    (14, |w| w.say("TYPE I")),
    (14, |w| w.say("TYPE A")),
    (5, |w| {
        let kind = *w.draw.of(&["A N", "L 8", "L7", "E", "i", "a", "I N"]);
        w.say(format!("TYPE {kind}"));
    }),
    (6, |w| {
        let number = *w.draw.of(&[
            "0",
            "1",
            "5",
            "100",
            "-1",
            "x",
            "99999999999999999999",
            "00",
        ]);
        w.say(format!("REST {number}"));
    }),
    (6, |w| {
        let facts = [
            "",
            " type;size;",
            " modify;perm;unique;unix.mode;",
            " TYPE;",
            " nothing;",
            " type",
            " type; size;",
        ];
        let facts = *w.draw.of(&facts);
        w.say(format!("OPTS MLST{facts}"));
    }),
    (3, |w| {
        let text = *w
            .draw
            .of(&["UTF8 ON", "utf8", "UTF-8 OFF", "MODE Z", "FOO"]);
        w.say(format!("OPTS {text}"));
    }),
    (6, |w| {
        let lines = [
            "STRU F",
            "STRU R",
            "STRU x",
            "MODE S",
            "MODE B",
            "MODE q",
            "ALLO 5",
            "ALLO",
            "SITE",
            "SITE HELP",
            "SITE FOO",
            "HELP",
            "HELP RETR",
            "HELP x",
            "SITE HELP CHMOD",
            "XPWD",
            "XCUP",
            "RETR",
            "STOR",
            "PWD x",
            "NOOP x",
        ];
        let line = *w.draw.of(&lines);
        if line == "XCUP" {
            w.cwd = "/".to_owned();
            w.say(line);
            w.say("CWD /");
        } else {
            w.say(line);
        }
    }),
    (12, |w| w.say("NOOP")),
    (5, |w| w.say("STAT")),
    (4, |w| w.say("FEAT")),
    (3, |w| w.say("SYST")),
    (5, |w| w.say("ABOR")),
    // Who is logged in.
    (4, |w| {
        w.log_in();
    }),
    (3, |w| {
        w.say("REIN");
        w.has_port = false;
        if w.draw.percent(85) {
            w.log_in();
        }
    }),
    (4, guesses),
    (2, |w| w.say("PASS again")),
    (2, |w| w.say("USER nobody")),
    (2, |w| {
        let line = *w.draw.of(&["EPSV ALL", "EPSV 3", "PASV x", "EPSV 2"]);
        w.say(line);
    }),
    (2, |w| {
        let line = *w.draw.of(&[
            "AUTH TLS", "PBSZ 0", "PROT C", "PROT P", "PROT S", "PBSZ x", "AUTH x",
        ]);
        w.say(line);
    }),
    (4, |w| {
        let lines = [
            "PORT 10,0,0,1,0,22",
            "PORT 1,2,3,4,200,1",
            "PORT 127,0,0,256,1,1",
            "PORT x",
            "EPRT |1|127.0.0.1|22|",
            "EPRT |2|::1|15000|",
            "EPRT |3|127.0.0.1|15000|",
            "EPRT x",
        ];
        let line = *w.draw.of(&lines);
        w.say(line);
    }),
];

/// Wrong passwords up to the limit, and what must not make the server forget them.
fn guesses(w: &mut Walker<'_>) {
    let most = usize::try_from(w.settings.max_login_attempts).unwrap_or(1);
    for _ in 0..w.draw.within(1, most) {
        let name = match w.draw.percent(20) {
            true => "nobody",
            false => &w.user.name,
        };
        w.say(format!("USER {name}"));
        w.say("PASS wrong");
        if w.draw.percent(15) {
            w.say("REIN");
        }
    }
    if w.draw.percent(85) {
        w.log_in();
    }
}

/// RNFR and RNTO, perhaps with something between.
fn rename(w: &mut Walker<'_>) {
    let is_dir = w.draw.percent(30) && w.dirs.len() > 1;
    let from = match is_dir {
        true => {
            let at = w.draw.within(1, w.dirs.len() - 1);
            w.dirs[at].clone()
        }
        false if w.files.is_empty() => w.anything(),
        false => w.draw.of(&w.files).clone(),
    };
    let written = match from.starts_with('/') {
        true => w.written(&from),
        false => from.clone(),
    };
    w.say_path("RNFR", &written);
    if w.draw.percent(10) {
        w.say("NOOP");
    }
    if w.draw.percent(8) {
        // It takes the place of the first, although it is refused.
        let path = *w.draw.of(&["missing", "missing/x", "/", "", "a\u{0}b"]);
        w.say_path("RNFR", path);
    }
    if w.draw.percent(4) {
        return;
    }
    let to = match w.draw.percent(15) {
        true => {
            let path = w.anything();
            w.say_path("RNTO", &path);
            return;
        }
        false => w.new_absolute(),
    };
    let written = w.written(&to);
    w.say_path("RNTO", &written);
    if is_dir {
        w.dirs.retain(|dir| *dir != from);
        w.dirs.push(to);
    } else {
        w.files.retain(|file| *file != from);
        w.files.push(to);
    }
}
