//! How an invalid command line is reported: in one plain line that says what to do.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::AddrParseError;
use std::num::{ParseFloatError, ParseIntError};

use clap::CommandFactory as _;
use clap::error::{ContextKind, ErrorKind};

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Prints help and versions unchanged, and errors in one line; returns the exit code.
pub(crate) fn report(error: &clap::Error, given: &[OsString]) -> u8 {
    let is_text = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_text {
        return match error.print().and_then(|()| std::io::stdout().flush()) {
            Ok(()) if error.use_stderr() => 2,
            Ok(()) => 0,
            // If the pipe is closed, its reader has read enough.
            Err(failed) => match Failure::from(failed) {
                Failure::ClosedPipe if error.use_stderr() => 2,
                failure => failure.report(),
            },
        };
    }
    Failure::could_not(one_line(error, given)).report()
}

/// What is wrong, and whose help says more.
fn one_line(error: &clap::Error, given: &[OsString]) -> String {
    let (what, command) = match wrong_value(error).or_else(|| other_word(error, given)) {
        Some(what) => (what, None),
        None => as_rendered(&error.render().to_string()),
    };
    let command = command.unwrap_or_else(|| command_of(given).0);
    format!("{}; see `{command} --help`", what.trim())
}

/// For a value that is not what its flag takes: what it takes.
fn wrong_value(error: &clap::Error) -> Option<String> {
    let source = error.source()?;
    let allowed = if source.is::<ParseIntError>() {
        "a whole number, such as 20"
    } else if source.is::<ParseFloatError>() {
        "a number, such as 0.1"
    } else if source.is::<AddrParseError>() {
        "an address with a port, such as 127.0.0.1:8410"
    } else {
        return None;
    };
    let flag = error.get(ContextKind::InvalidArg)?.to_string();
    let value = error.get(ContextKind::InvalidValue)?.to_string();
    let flag = flag.split(' ').next().unwrap_or_default();
    Some(format!("{flag} cannot be {value:?}: use {allowed}"))
}

/// Words of other tools, and what they are here.
const COMMANDS: [(&[&str], &str); 8] = [
    (&["list", "ls", "search", "find", "grep", "show", "get", "events", "log", "logs", "cat"], "query"),
    (&["add", "append", "write", "send", "put", "ingest", "create"], "record"),
    (&["watch", "follow"], "tail -f"),
    (&["check", "validate", "audit"], "verify"),
    (&["start", "server", "web", "ui", "run", "daemon"], "serve"),
    (&["status", "info", "count"], "stats"),
    (&["delete", "prune", "purge", "cleanup", "rotate"], "retain"),
    (&["restore", "copy", "snapshot"], "backup"),
];
const FLAGS: [(&[&str], &str); 11] = [
    (&["--after", "--from", "--start", "--begin"], "--since"),
    (&["--before", "--to", "--end"], "--until"),
    (&["--reverse", "--oldest", "--ascending"], "--order asc"),
    (&["--sort", "--sort-by"], "--order and --order-by"),
    (&["--user", "--who", "--user-id", "--actor-id"], "--actor"),
    (&["--event", "--event-type"], "--action"),
    (&["--search", "--grep", "--query", "--filter"], "--text"),
    (&["--result", "--status"], "--outcome"),
    (&["--level"], "--severity"),
    (&["--output", "-o"], "--format, and > FILE"),
    (&["--path", "--folder", "--directory", "--trail"], "--dir"),
];

/// For a command or flag that other tools have: what it is here.
fn other_word(error: &clap::Error, given: &[OsString]) -> Option<String> {
    let (name, command) = command_of(given);
    let (kind, what, words) = match error.kind() {
        ErrorKind::InvalidSubcommand if name == "trailseal" => {
            (ContextKind::InvalidSubcommand, "command", &COMMANDS[..])
        }
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, "flag", &FLAGS[..]),
        _ => return None,
    };
    let theirs = error.get(kind)?.to_string();
    let (_, ours) = words.iter().find(|(words, _)| words.contains(&theirs.as_str()))?;
    let flag = ours.split([' ', ',']).next()?.strip_prefix("--");
    let takes = |flag: &str| flag == "dir" || command.get_arguments().any(|own| own.get_long() == Some(flag));
    // Where there is --out, it is meant.
    if flag.is_some_and(|flag| !takes(flag) || flag == "format" && takes("out")) {
        return None;
    }
    Some(format!("there is no {what} {theirs} here: use {ours}"))
}

/// Joins the lines before the usage, which names the command.
fn as_rendered(text: &str) -> (String, Option<String>) {
    let mut what = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(usage) = line.strip_prefix("Usage: ") {
            let words = usage.split(' ').take_while(|word| !word.starts_with(['<', '[', '-']));
            return (what, Some(words.collect::<Vec<_>>().join(" ")));
        }
        if line.starts_with("For more information") {
            break;
        }
        let between = if what.is_empty() || what.ends_with([':', ';']) { " " } else { "; " };
        what.push_str(if line.starts_with('[') || line.starts_with('-') || line.starts_with('<') {
            " "
        } else {
            between
        });
        what.push_str(line.trim_start_matches("error: "));
    }
    (what, None)
}

/// The command that these arguments name, as far as they do.
fn command_of(given: &[OsString]) -> (String, clap::Command) {
    const WITH_VALUE: [&str; 4] = ["--dir", "--config", "--server", "--token"];
    let (mut command, mut names) = (Arguments::command(), vec!["trailseal".to_owned()]);
    let mut words = given.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word) {
            words.next();
            continue;
        }
        let Some(found) = command.find_subcommand(word).cloned() else { continue };
        names.push(found.get_name().to_owned());
        command = found;
    }
    (names.join(" "), command)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn usage_errors_are_one_line_that_names_the_help() {
        for (line, wanted) in [
            (
                &["quer"][..],
                "unrecognized subcommand 'quer'; tip: a similar subcommand exists: 'query'; see `trailseal --help`",
            ),
            (
                &["export"],
                "the following required arguments were not provided: --format <FORMAT>; see `trailseal export --help`",
            ),
            (
                &["query", "--order", "up"],
                "invalid value 'up' for '--order <ORDER>' [possible values: asc, desc]; see `trailseal query --help`",
            ),
            (
                &["query", "--dir", "mask", "--limit", "abc"],
                "--limit cannot be \"abc\": use a whole number, such as 20; see `trailseal query --help`",
            ),
            (
                &["serve", "--listen", "8410"],
                "--listen cannot be \"8410\": use an address with a port, such as 127.0.0.1:8410; see `trailseal serve --help`",
            ),
            (
                &["policy", "set", "sampled", "--rate", "half"],
                "--rate cannot be \"half\": use a number, such as 0.1; see `trailseal policy set --help`",
            ),
            (&["list"], "there is no command list here: use query; see `trailseal --help`"),
            (
                &["query", "--before", "1h"],
                "there is no flag --before here: use --until; see `trailseal query --help`",
            ),
            (&["key", "lose"], "unrecognized subcommand 'lose'; see `trailseal key --help`"),
        ] {
            let all = std::iter::once("trailseal").chain(line.iter().copied()).map(OsString::from);
            let all: Vec<OsString> = all.collect();
            let Err(error) = Arguments::try_parse_from(&all) else { panic!("{line:?} was understood") };
            assert_eq!(one_line(&error, &all), wanted);
        }
    }
}
