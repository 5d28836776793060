//! How an invalid command line is reported: in one plain line that says what to do.

use std::error::Error as _;
use std::ffi::OsString;
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
        // If the pipe is closed, its reader has read enough.
        let _ = error.print();
        return if error.use_stderr() { 2 } else { 0 };
    }
    Failure::could_not(one_line(error, given)).report()
}

/// What is wrong, and whose help says more.
fn one_line(error: &clap::Error, given: &[OsString]) -> String {
    let (what, command) = match wrong_value(error) {
        Some(what) => (what, None),
        None => as_rendered(&error.render().to_string()),
    };
    let command = command.unwrap_or_else(|| command_of(given));
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
fn command_of(given: &[OsString]) -> String {
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
    names.join(" ")
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
            (&["key", "lose"], "unrecognized subcommand 'lose'; see `trailseal key --help`"),
        ] {
            let all = std::iter::once("trailseal").chain(line.iter().copied()).map(OsString::from);
            let all: Vec<OsString> = all.collect();
            let Err(error) = Arguments::try_parse_from(&all) else { panic!("{line:?} was understood") };
            assert_eq!(one_line(&error, &all), wanted);
        }
    }
}
