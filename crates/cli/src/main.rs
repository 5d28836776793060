//! The `trailseal` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = trailseal_cli::without_passwords(std::env::args_os().collect());
    ExitCode::from(trailseal_cli::run(arguments))
}
