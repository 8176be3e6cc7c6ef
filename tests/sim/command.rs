//! The command line.
//!
//! - `run [--seconds N | --sessions N] [--from SEED] [--to SEED] [--jobs N] [--go-on]`: worlds from
//!   that seed on, until one fails; `--go-on`: and further.
//! - `replay SEED|FILE [--trace]`: one world, or a transcript.
//! - `shrink SEED|FILE [--seconds N]`: makes a world that fails as small as possible, and prints it
//!   as a transcript for `tests/sim/found`.
//! - `twice [--from SEED] [--worlds N]`: runs worlds two times each, and compares.
//! - `print SEED|FILE`: prints a world as a transcript, without running it.
//! - `unit`: the tests of the simulator itself.
//!
//! Anything else is what `cargo test` passes to a test.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::runs::{self, Range};
use crate::script::{Script, generate};
use crate::world::{Failure, run};
use crate::{disk, log, model, panics, plan, shrink, smoke, transcript};

pub fn main(arguments: &[String]) -> ExitCode {
    panics::keep_silent();
    log::install();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["run", options @ ..] => run_worlds(options),
        ["replay", what, options @ ..] => replay(what, options.contains(&"--trace")),
        ["shrink", what, options @ ..] => shrink_world(what, options),
        ["twice", options @ ..] => twice(options),
        ["print", what] => print_world(what),
        ["unit", ..] => unit(),
        options if options.contains(&"--list") => {
            println!("sim: test");
            Ok(())
        }
        options => test(options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            println!("{text}");
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<(), String>;

/// What plain `cargo test` does.
fn test(options: &[&str]) -> Outcome {
    // A filter names tests of other files, unless it names this one.
    let mut filters = options.iter().filter(|option| !option.starts_with('-'));
    if filters.clone().next().is_some() && !filters.any(|filter| "sim".contains(*filter)) {
        return Ok(());
    }
    unit()?;
    found()?;
    // A fast machine runs no seeds that others do not.
    let range = Range {
        to: Some(400),
        seconds: Some(Duration::from_secs(10)),
        ..Range::default()
    };
    let tally = runs::run(&range)?;
    println!("{tally}");
    runs::repeat(0..REPEATED)
}

/// The tests of the simulator itself.
fn unit() -> Outcome {
    let mut all = disk::tests::checks();
    all.extend(model::tests::checks());
    all.extend(plan::tests::checks());
    all.extend(smoke::checks());
    all.extend(transcript::checks());
    all.extend(shrink::checks());
    for (name, check) in &all {
        if std::panic::catch_unwind(check).is_err() {
            let text = panics::take().unwrap_or_default();
            return Err(format!("unit test {name} has failed: {text}"));
        }
    }
    println!("{} unit tests", all.len());
    Ok(())
}

/// Runs the transcripts of faults that were found.
fn found() -> Outcome {
    let mut files: Vec<_> = fs::read_dir(FOUND)
        .map_err(|err| format!("{FOUND}: {err}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    for file in &files {
        let script = read(file)?;
        if let Err(failure) = run(&script, false) {
            return Err(format!("{}: {failure}", file.display()));
        }
    }
    println!("{} transcripts", files.len());
    Ok(())
}

/// The number that follows an option.
fn number(options: &[&str], name: &str) -> Result<Option<u64>, String> {
    let Some(at) = options.iter().position(|option| *option == name) else {
        return Ok(None);
    };
    let value = options.get(at + 1).and_then(|value| value.parse().ok());
    value
        .map(Some)
        .ok_or_else(|| format!("{name} needs a number"))
}

fn twice(options: &[&str]) -> Outcome {
    let from = number(options, "--from")?.unwrap_or(0);
    let worlds = number(options, "--worlds")?.unwrap_or(REPEATED);
    runs::repeat(from..from.saturating_add(worlds))
}

fn run_worlds(options: &[&str]) -> Outcome {
    let number = |name| number(options, name);
    let range = Range {
        seconds: number("--seconds")?.map(Duration::from_secs),
        sessions: number("--sessions")?,
        from: number("--from")?.unwrap_or(0),
        to: number("--to")?,
        jobs: number("--jobs")?.unwrap_or(1),
        progress: true,
        goes_on: options.contains(&"--go-on"),
    };
    let tally = runs::run(&range)?;
    println!("{tally}");
    Ok(())
}

fn replay(what: &str, with_trace: bool) -> Outcome {
    let script = script_of(what)?;
    let first = run(&script, with_trace);
    let trace = match &first {
        Ok(report) => &report.trace,
        Err(failure) => &failure.trace,
    };
    print!("{trace}");
    match first {
        Ok(report) => {
            println!(
                "no fault: {} sessions, {} events, {} moments, {} turns, hash {:016x}",
                report.sessions, report.events, report.moments, report.turns, report.hash
            );
            Ok(())
        }
        Err(failure) => Err(failure.to_string()),
    }
}

fn shrink_world(what: &str, options: &[&str]) -> Outcome {
    let script = script_of(what)?;
    let seconds = match options {
        ["--seconds", seconds] => seconds.parse().map_err(|_| "--seconds needs a number")?,
        _ => 60,
    };
    let Err(failure) = run(&script, false) else {
        return Err(format!("{what} does not fail"));
    };
    let (script, failure): (Script, Failure) =
        shrink::shrink(script, failure, Duration::from_secs(seconds));
    println!("# {failure}");
    print!("{}", transcript::print(&script));
    Ok(())
}

fn print_world(what: &str) -> Outcome {
    print!("{}", transcript::print(&script_of(what)?));
    Ok(())
}

/// The world of a seed, or of a transcript.
fn script_of(what: &str) -> Result<Script, String> {
    match what.parse() {
        Ok(seed) => Ok(generate(seed)),
        Err(_) => read(Path::new(what)),
    }
}

fn read(file: &Path) -> Result<Script, String> {
    let text = fs::read_to_string(file).map_err(|err| format!("{}: {err}", file.display()))?;
    transcript::parse(&text).map_err(|err| format!("{}: {err}", file.display()))
}

const FOUND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sim/found");

/// How many worlds `cargo test` runs twice.
const REPEATED: u64 = 20;
