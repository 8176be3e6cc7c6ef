//! The command line: flags, help, and what is wrong with them.
//!
//! The flags of settings are those of the [table](crate::config::table); here are
//! the few that are no settings: accounts, the file, the log.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{
    EnumValueParser, OsStringValueParser, PossibleValue, StringValueParser, TypedValueParser,
};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::config::flags::{AccountFlags, Flag, Flags, NETWORK, PROGRAM, TLS};
use crate::config::table::SETTINGS;

/// The heading of flags that are no settings.
const SHARING: &str = "What to share, and with whom";

/// Why there is nothing to start.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Help or the version was asked for: to be printed, which is a success.
    Asked(clap::Error),
    /// So was the manual, or completions for a shell.
    Generate(Document),
    /// One line on what is wrong.
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

/// Reads a command line; its first word is the program.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Flags, Stop> {
    let mut matches = command().try_get_matches_from(args).map_err(explain)?;
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
        (Some(name), Some(password)) if !password.is_empty() => {
            flags.user = Some((name, password));
        }
        (Some(_), _) => {
            let text = "if username (-u) is supplied, password (-P) is required";
            return Err(Stop::Wrong(text.to_owned()));
        }
        (None, password) => flags.password_only = password.is_some(),
    }
    Ok(flags)
}

/// All options, as they are parsed, told and completed.
pub(crate) fn command() -> Command {
    let own = [
        named("directory")
            .short('d')
            .value_name("PATH")
            .value_hint(ValueHint::DirPath)
            .value_parser(OsStringValueParser::new())
            .help("Share this directory [default: the current one]"),
        named("write")
            .short('w')
            .action(ArgAction::SetTrue)
            .help("Let clients change it, not only read it"),
        named("username")
            .short('u')
            .value_name("NAME")
            .value_hint(ValueHint::Other)
            .help("Share it with this user, not with anonymous; needs a password"),
        named("password")
            .short('P')
            .value_name("WORD")
            .value_hint(ValueHint::Other)
            .help("The password of that user"),
    ];
    let tls = named("tls")
        .action(ArgAction::SetTrue)
        .help("Offer FTPS; needs --certfile, or [tls] in the file");
    let program = [
        named("config")
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .value_parser(OsStringValueParser::new())
            .help("Read settings and accounts from this TOML file; flags win over it"),
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
    // `--tls` stands first under its heading, and that after the network's.
    let of_network = setting_flags().filter(|flag| flag.group == NETWORK);
    let others = setting_flags().filter(|flag| flag.group != NETWORK);
    Command::new("ftpdlib")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Shares a directory by FTP: read-only, with everybody, unless told otherwise.")
        .override_usage("ftpdlib [OPTIONS]")
        .disable_help_flag(true)
        .disable_version_flag(true)
        // As with other programs, the last of two wins.
        .args_override_self(true)
        .args(own.map(|arg| arg.help_heading(SHARING)))
        .args(of_network.map(setting_arg))
        .arg(tls.help_heading(TLS))
        .args(others.map(setting_arg))
        .args(program.map(|arg| arg.help_heading(PROGRAM)))
}

/// A flag with the name of its value in [`ArgMatches`].
fn named(name: &'static str) -> Arg {
    Arg::new(name).long(name)
}

/// Each flag of the table, once.
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

/// Not with clap's parser of paths, which has an opinion on empty ones.
fn path(matches: &mut ArgMatches, flag: &str) -> Option<PathBuf> {
    matches.remove_one::<OsString>(flag).map(PathBuf::from)
}

fn setting_arg(flag: Flag) -> Arg {
    let arg = named(flag.long).help(flag.help).help_heading(flag.group);
    let arg = match flag.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    match flag.value {
        // Values are checked where those of the file are.
        Some(name) => arg
            .value_name(name)
            .value_hint(match name {
                "PATH" => ValueHint::FilePath,
                _ => ValueHint::Other,
            })
            .value_parser(OneOf(flag.values))
            .hide_possible_values(true)
            .allow_negative_numbers(true),
        None => arg.action(ArgAction::SetTrue),
    }
}

/// Tells completions the words that a value may be, and takes any.
#[derive(Debug, Clone)]
struct OneOf(&'static [&'static str]);

impl TypedValueParser for OneOf {
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
        let values = self.0.iter().map(PossibleValue::new);
        (!self.0.is_empty()).then(|| Box::new(values) as _)
    }
}

/// One line of what clap says in several.
fn explain(err: clap::Error) -> Stop {
    if matches!(
        err.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Stop::Asked(err);
    }
    let text = err.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let mut line = text.lines().next().unwrap_or_default().to_owned();
    let meant = match err.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(flag)) => Some(flag),
        Some(ContextValue::Strings(flags)) => flags.first(),
        _ => None,
    };
    if let Some(flag) = meant {
        line.push_str(&format!("; did you mean '{flag}'?"));
    }
    line.push_str(" (--help lists all flags)");
    Stop::Wrong(line)
}
