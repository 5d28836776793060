//! How an invalid command line is reported: in one plain line that says what to do.

use clap::error::ErrorKind;

use crate::failure::Failure;

/// Prints help and versions unchanged, and errors in one line; returns the exit code.
pub(crate) fn report(error: &clap::Error) -> u8 {
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
    Failure::could_not(one_line(&error.render().to_string())).report()
}

/// Joins the lines before the usage, and refers to the help of the command that the usage names.
fn one_line(text: &str) -> String {
    let mut what = String::new();
    let mut command = "trailseal".to_owned();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(usage) = line.strip_prefix("Usage: ") {
            let words = usage.split(' ').take_while(|word| !word.starts_with(['<', '[', '-']));
            command = words.collect::<Vec<_>>().join(" ");
            break;
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
    format!("{}; see `{command} --help`", what.trim())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::Arguments;

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
                "invalid value 'up' for '--order <ORDER>' [possible values: asc, desc]; see `trailseal --help`",
            ),
            (&["key", "lose"], "unrecognized subcommand 'lose'; see `trailseal key --help`"),
        ] {
            let all = std::iter::once("trailseal").chain(line.iter().copied());
            let Err(error) = Arguments::try_parse_from(all) else { panic!("{line:?} was understood") };
            let text = one_line(&error.render().to_string());
            assert_eq!(text, wanted);
        }
    }
}
