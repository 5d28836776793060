//! The `trailseal` command.
//!
//! Edges are thin: a command parses its input into core types, calls the core, and prints the result.

mod arguments;
mod commands;
mod destination;
mod failure;
mod log;
mod output;
mod progress;
mod server_client;
mod settings;
mod usage;

use std::process::ExitCode;

use clap::Parser as _;
use signal_hook::consts::SIGXFSZ;

fn main() -> ExitCode {
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::report(&error),
    };
    match outlive_a_file_size_limit().and_then(|()| commands::run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Makes a write beyond the process's file-size limit (`ulimit -f`) fail like one on a full disk. By default the system
/// kills the process with SIGXFSZ.
fn outlive_a_file_size_limit() -> Result<(), failure::Failure> {
    let registered = signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default());
    registered.map(drop).map_err(|error| {
        failure::Failure::could_not(format!("could not prepare for a limit on file size: {error}"))
    })
}
