//! The manual page and the completions of shells. Both are made from the definition of
//! the command line and the table of settings, so they are complete.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use crate::cli::{self, Document};
use crate::config::accounts::ACCOUNT_KEYS;
use crate::config::listener::LISTEN_KEYS;
use crate::config::table::SETTINGS;

/// The text of a document, for standard output.
pub(crate) fn text(document: Document) -> Vec<u8> {
    match document {
        Document::Man => manual(),
        Document::Completions(shell) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "ftpdlib", &mut text);
            text
        }
    }
}

/// The page `ftpdlib(1)`.
fn manual() -> Vec<u8> {
    // The page has one list of options, without headings, in the order of the help.
    let command = cli::command()
        .about("share a directory by FTP")
        .long_about(DESCRIPTION)
        .mut_args(|arg| arg.help_heading(None));
    let mut page = Roff::default();
    page.control("SH", ["CONFIGURATION FILE"]);
    paragraphs(&mut page, FILE);
    keys(&mut page);
    for (title, body) in [("SIGNALS", SIGNALS), ("EXIT STATUS", STATUS)] {
        page.control("SH", [title]);
        list(&mut page, body.iter().copied());
    }
    page.control("SH", ["FILES"]);
    paragraphs(&mut page, FILES);
    page.control("SH", ["EXAMPLES"]);
    for (text, example) in EXAMPLES {
        paragraphs(&mut page, text);
        code(&mut page, example);
    }

    let mut text = Vec::new();
    let written = options(command, &mut text).and_then(|()| page.to_writer(&mut text));
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
    text
}

/// Writes the part of the page that clap can make: all up to the options.
fn options(command: Command, text: &mut Vec<u8>) -> std::io::Result<()> {
    // A date would change with each build; an empty one is dropped from the title line
    // and moves the arguments after it.
    let man = Man::new(command).date(" ").manual("User Commands");
    man.render_title(text)?;
    man.render_name_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_description_section(text)?;
    man.render_options_section(text)
}

/// Writes the keys of the file, section by section.
fn keys(page: &mut Roff) {
    let mut sections: Vec<&str> = Vec::new();
    for setting in SETTINGS {
        if !sections.contains(&setting.section) {
            sections.push(setting.section);
        }
    }
    for section in sections {
        page.control("SS", [format!("[{section}]").as_str()]);
        for setting in SETTINGS.iter().filter(|setting| setting.section == section) {
            key(page, setting.key, setting.kind, setting.help);
        }
    }
    page.control(
        "SS",
        ["[[listen]], in place of address and port in [server]"],
    );
    for (name, kind, help) in LISTEN_KEYS {
        key(page, name, kind, help);
    }
    page.control("SS", ["[[users]], any number of them, and [anonymous]"]);
    for (name, kind, help) in ACCOUNT_KEYS {
        key(page, name, kind, help);
    }
    page.control("PP", []);
    paragraphs(page, PERMISSIONS);
}

fn key(page: &mut Roff, name: &str, kind: &str, help: &str) {
    page.control("TP", []);
    let mut head = vec![bold(name)];
    if !kind.is_empty() {
        head.push(roman(" ("));
        head.extend(inline(kind));
        head.push(roman(")"));
    }
    page.text(head);
    page.text(inline(help));
}

fn list<'a>(page: &mut Roff, items: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, text) in items {
        key(page, name, "", text);
    }
}

/// Writes each line of the text as a paragraph.
fn paragraphs(page: &mut Roff, text: &str) {
    for paragraph in text.lines() {
        page.control("PP", []);
        page.text(inline(paragraph));
    }
}

/// Writes lines as they are, without filling.
fn code(page: &mut Roff, text: &str) {
    page.control("PP", []);
    page.control("RS", ["4"]);
    page.control("nf", []);
    for line in text.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    page.control("RE", []);
}

/// Makes the text between backticks bold.
fn inline(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    let parts = parts.filter(|(_, part)| !part.is_empty());
    let style = |(i, part)| if i % 2 == 0 { roman(part) } else { bold(part) };
    parts.map(style).collect()
}

const DESCRIPTION: &str = "\
Without options ftpdlib shares the current directory on port 2121, and everybody can read it: \
anonymous logs in with any password. Users with their own homes and permissions are \
defined in a configuration file. ftpdlib runs in the foreground and logs to standard error.";

const FILE: &str = "\
The file that `--config` names is TOML. Keys are optional unless they are marked as required. \
Relative paths are relative to the directory of the file. Times are seconds, as integers or \
decimals. An option wins over the file; `-u` or `-d` replaces all accounts of the file. A file \
without accounts is an error, unless one of these is given, and so is `-w` alone. Only \
`home = \"/\"` or `-d /` shares `/`. Without a file and without accounts anonymous reads the \
current directory.
The section `[tls]` turns FTPS on.";

const PERMISSIONS: &str = "\
Permissions: `e` change directory, `l` list, `r` retrieve, `a` append, `d` delete, `f` rename, \
`m` make directories, `w` store, `M` change modes, `T` change times.";

const SIGNALS: &[(&str, &str)] = &[
    (
        "SIGTERM, SIGINT",
        "end the server: it stops listening, idle sessions get the reply 421, and transfers may \
         continue for the time of `--drain-timeout`. A second signal ends everything at once.",
    ),
    (
        "SIGHUP",
        "reads the certificates again, for new connections. If a file is wrong, the log says so \
         and the old certificates stay in use. Without TLS nothing is read. If the signal comes \
         because the terminal has hung up that the program was started on, it is the same as \
         SIGTERM, except with `--config` and after nohup(1).",
    ),
    ("SIGUSR1, SIGUSR2", "are ignored."),
];

const STATUS: &[(&str, &str)] = &[
    ("0", "A signal has ended the server."),
    ("1", "The server has started, but could not continue."),
    (
        "2",
        "The server has not started: a wrong option, a wrong line of the file, a missing \
         directory, a wrong certificate, or an address in use. One line on standard error says \
         what is wrong.",
    ),
    (
        "128 and the number of a signal",
        "A second signal has ended sessions early, or something was stuck.",
    ),
];

const FILES: &str = "\
ftpdlib reads only files that an option or the configuration file names, and writes only what \
clients upload. A configuration file with passwords should be readable only by the user that \
runs ftpdlib: otherwise the log has a warning. The same holds for private keys.";

const EXAMPLES: [(&str, &str); 4] = [
    ("Anonymous reads a directory:", "ftpdlib -d /srv/ftp"),
    (
        "One user reads and writes the current directory; TLS is required:",
        "ftpdlib -w -u joe -P secret --tls-self-signed --tls-control-required --tls-data-required",
    ),
    (
        "Users and settings from a file:",
        "ftpdlib --config ftpd.toml",
    ),
    (
        "Such a configuration file:",
        "[server]\naddress = \"192.0.2.1\"\nport = 21\n\n\
         [handler]\npassive_ports = \"60000-60100\"\n\n\
         [[users]]\nname = \"joe\"\npassword = \"secret\"\nhome = \"/srv/ftp/joe\"\nperm = \"elradfmwMT\"",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTS: &str = concat!(
        include_str!("../docs/PROGRAM.md"),
        include_str!("../docs/CONFIGURATION.md")
    );

    #[test]
    fn the_documents_name_each_option() {
        for arg in cli::command().get_arguments() {
            let option = arg.get_long().map(|long| format!("`--{long}"));
            let mut rows = DOCUMENTS.lines().filter(|line| line.starts_with("| `-"));
            assert!(
                option.is_some_and(|option| rows.any(|row| row.contains(&option))),
                "{arg} is not in docs/PROGRAM.md"
            );
        }
    }

    /// The texts of the keys stand in docs/CONFIGURATION.md too.
    #[test]
    fn the_documents_have_each_key_in_these_words() {
        let texts = |kind: &str, help: &str| format!("| {kind} | {help} |");
        for setting in SETTINGS {
            let row = match setting.key {
                "certificates" => "`[[tls.certificates]]`".to_owned(),
                key => format!("`{key}`"),
            };
            let row = format!("\n| {row} {}\n", texts(setting.kind, setting.help));
            assert!(
                DOCUMENTS.contains(&row),
                "not in docs/CONFIGURATION.md: {row}"
            );
        }
        for (name, kind, help) in ACCOUNT_KEYS.into_iter().chain(LISTEN_KEYS) {
            let found = DOCUMENTS.lines().any(|line| {
                line.contains(&format!("`{name}`")) && line.ends_with(&texts(kind, help))
            });
            assert!(
                found,
                "not in docs/CONFIGURATION.md: {name}: {kind}: {help}"
            );
        }
    }
}
