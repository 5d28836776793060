//! The `trailseal` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(trailseal_cli::run(std::env::args_os()))
}
