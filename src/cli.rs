//! The command line: the options, the help, and the errors of wrong options.
//!
//! The options of settings come from the [table](crate::config::table). Here are those
//! that set no setting: the account, the file, the log.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{
    EnumValueParser, OsStringValueParser, PossibleValue, StringValueParser, TypedValueParser,
};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::config::flags::{AccountFlags, Flag, Flags, NETWORK, PROGRAM, TLS};
use crate::config::password;
use crate::config::table::SETTINGS;

/// The heading of the options for the account that the command line asks for.
const SHARING: &str = "What to share, and with whom";

/// Why no server is to be started.
#[derive(Debug)]
pub(crate) enum Stop {
    /// To print the help or the version, as the command line asks.
    Help(clap::Error),
    /// To print the manual or the completions of a shell, as the command line asks.
    Generate(Document),
    /// To report an error: one line.
    Wrong(String),
}

/// What `--generate` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Document {
    Man,
    Completions(Shell),
}

impl ValueEnum for Document {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Man,
            Self::Completions(Shell::Bash),
            Self::Completions(Shell::Zsh),
            Self::Completions(Shell::Fish),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Man => "man",
            Self::Completions(Shell::Zsh) => "complete-zsh",
            Self::Completions(Shell::Fish) => "complete-fish",
            Self::Completions(_) => "complete-bash",
        }))
    }
}

/// Reads a command line. Its first word is the name of the program.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Flags, Stop> {
    let mut matches = command().try_get_matches_from(args).map_err(stop)?;
    if let Some(document) = matches.remove_one("generate") {
        return Err(Stop::Generate(document));
    }
    let mut given: Vec<(Flag, Option<String>)> = Vec::new();
    for flag in setting_flags() {
        match flag.value {
            Some(_) => {
                let value = matches.remove_one::<String>(flag.long);
                given.extend(value.map(|value| (flag, Some(value))));
            }
            None if matches.get_flag(flag.long) => given.push((flag, None)),
            None => {}
        }
    }
    Ok(Flags {
        config: path(&mut matches, "config"),
        debug: matches.get_flag("debug"),
        tls: matches.get_flag("tls"),
        accounts: account_flags(&mut matches)?,
        given,
    })
}

fn account_flags(matches: &mut ArgMatches) -> Result<AccountFlags, Stop> {
    let username = matches.remove_one::<String>("username");
    let password = matches.remove_one::<String>("password");
    let mut flags = AccountFlags {
        directory: path(matches, "directory"),
        write: matches.get_flag("write"),
        ..AccountFlags::default()
    };
    match (username, password) {
        (Some(name), _) if name.is_empty() => {
            return Err(Stop::Wrong("--username: must not be empty".to_owned()));
        }
        (Some(name), _) if name == password::ANONYMOUS => {
            let text = "--username: anonymous needs neither -u nor -P, because any password is \
                        accepted";
            return Err(Stop::Wrong(text.to_owned()));
        }
        (Some(name), Some(password)) if !password.is_empty() => {
            let wrong = |flag| move |text| Stop::Wrong(format!("--{flag}: {text}"));
            password::check_line(&name).map_err(wrong("username"))?;
            password::check(&name, &password).map_err(wrong("password"))?;
            flags.user = Some((name, password));
        }
        (Some(_), _) => {
            let text = "if username (-u) is supplied, password (-P) is required";
            return Err(Stop::Wrong(text.to_owned()));
        }
        (None, Some(_)) => {
            let text = "if password (-P) is supplied, username (-u) is required";
            return Err(Stop::Wrong(text.to_owned()));
        }
        (None, None) => {}
    }
    Ok(flags)
}

/// All options: for parsing, for the help, for the manual and for the completions.
pub(crate) fn command() -> Command {
    let sharing = [
        named("directory")
            .short('d')
            .value_name("PATH")
            .value_hint(ValueHint::DirPath)
            .value_parser(OsStringValueParser::new())
            .help("Share this directory [default: the current directory]"),
        named("write")
            .short('w')
            .action(ArgAction::SetTrue)
            .help("Let clients change the files; without this option they can only read"),
        named("username")
            .short('u')
            .value_name("NAME")
            .value_hint(ValueHint::Other)
            .help("Let this user log in instead of anonymous; requires --password"),
        named("password")
            .short('P')
            .value_name("WORD")
            .value_hint(ValueHint::Other)
            .help("Set the password of that user"),
    ];
    let tls = named("tls")
        .action(ArgAction::SetTrue)
        .help("Turn on FTPS; requires --certfile, or [tls] in the file");
    let program = [
        named("config")
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .value_parser(OsStringValueParser::new())
            .help("Read settings and accounts from this TOML file; options override it"),
        named("debug")
            .short('D')
            .action(ArgAction::SetTrue)
            .help("Log every command and reply"),
        named("generate")
            .value_name("WHAT")
            .value_parser(EnumValueParser::<Document>::new())
            .hide_possible_values(true)
            .help("Print the manual (man) or completions (complete-bash, -zsh, -fish)"),
        named("help")
            .short('h')
            .action(ArgAction::Help)
            .help("Print this help"),
        named("version")
            .short('V')
            .action(ArgAction::Version)
            .help("Print the version"),
    ];
    // The order of headings in the help is that of the arguments here. `--tls` is the
    // first option of its heading.
    let of_network = setting_flags().filter(|flag| flag.group == NETWORK);
    let others = setting_flags().filter(|flag| flag.group != NETWORK);
    Command::new("ftpdlib")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Shares a directory by FTP. By default everybody can read it and nobody can write.")
        .override_usage("ftpdlib [OPTIONS]")
        .disable_help_flag(true)
        .disable_version_flag(true)
        // If an option occurs twice, the last value counts, as in other programs.
        .args_override_self(true)
        .args(sharing.map(|arg| arg.help_heading(SHARING)))
        .args(of_network.map(setting_arg))
        .arg(tls.help_heading(TLS))
        .args(others.map(setting_arg))
        .args(program.map(|arg| arg.help_heading(PROGRAM)))
}

/// An option whose long name is also its name in [`ArgMatches`].
fn named(name: &'static str) -> Arg {
    Arg::new(name).long(name)
}

/// The flags of the table. A flag that several settings share occurs once.
fn setting_flags() -> impl Iterator<Item = Flag> {
    SETTINGS.iter().enumerate().filter_map(|(i, setting)| {
        let flag = setting.flag?;
        let earlier = SETTINGS[..i].iter().filter_map(|earlier| earlier.flag);
        let known = earlier
            .map(|earlier| earlier.long)
            .any(|long| long == flag.long);
        (!known).then_some(flag)
    })
}

/// The value of an option that is a path. Clap's own parser of paths refuses an empty
/// one with its own error text; here the user of the path does that.
fn path(matches: &mut ArgMatches, flag: &str) -> Option<PathBuf> {
    matches.remove_one::<OsString>(flag).map(PathBuf::from)
}

/// The option of a setting. Its value is any text here: the table checks it, as it checks
/// the values of the file.
fn setting_arg(flag: Flag) -> Arg {
    let arg = named(flag.long).help(flag.help).help_heading(flag.group);
    let arg = match flag.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    match flag.value {
        Some(name) => arg
            .value_name(name)
            .value_hint(match name {
                "PATH" => ValueHint::FilePath,
                _ => ValueHint::Other,
            })
            .value_parser(AnyText { words: flag.values })
            .hide_possible_values(true)
            .allow_negative_numbers(true),
        None => arg.action(ArgAction::SetTrue),
    }
}

/// Accepts any text, but shows completions the words that the setting accepts.
#[derive(Debug, Clone)]
struct AnyText {
    words: &'static [&'static str],
}

impl TypedValueParser for AnyText {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let words = self.words.iter().map(PossibleValue::new);
        (!self.words.is_empty()).then(|| Box::new(words) as _)
    }
}

/// Turns clap's result into one line. Clap says the same in several lines, and in
/// other words than the errors of settings.
fn stop(err: clap::Error) -> Stop {
    if matches!(
        err.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Stop::Help(err);
    }
    // Clap names an option as the help does: `--port <PORT>`.
    let usage = first(&err, ContextKind::InvalidArg);
    let option = usage.split(' ').next().unwrap_or_default();
    let value = first(&err, ContextKind::InvalidValue);
    Stop::Wrong(match err.kind() {
        ErrorKind::UnknownArgument if option.starts_with('-') => {
            let advice = match first(&err, ContextKind::SuggestedArg) {
                "" => String::new(),
                known => format!("; did you mean '{known}'?"),
            };
            format!("unknown option '{usage}'{advice} (--help lists all options)")
        }
        ErrorKind::UnknownArgument => {
            format!("unexpected argument '{usage}' (--help lists all options)")
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("{option}: a value is required ({usage})")
        }
        ErrorKind::InvalidValue => {
            let words: Vec<_> = all(&err, ContextKind::ValidValue)
                .iter()
                .map(|word| format!("'{word}'"))
                .collect();
            format!(
                "{option}: must be one of {}, not '{value}'",
                words.join(", ")
            )
        }
        ErrorKind::TooManyValues => format!("{option}: takes no value (got '{value}')"),
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        // Not expected; clap's first line says what is wrong.
        _ => {
            let text = err.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            text.lines().next().unwrap_or_default().to_owned()
        }
    })
}

/// The first text that clap adds to an error under this heading.
fn first(err: &clap::Error, kind: ContextKind) -> &str {
    match err.get(kind) {
        Some(ContextValue::String(text)) => text,
        _ => all(err, kind).first().map_or("", String::as_str),
    }
}

/// The list of texts that clap adds to an error under this heading.
fn all(err: &clap::Error, kind: ContextKind) -> &[String] {
    match err.get(kind) {
        Some(ContextValue::Strings(texts)) => texts,
        _ => &[],
    }
}
