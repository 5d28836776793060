//! The `trailseal` command, for its own program and for others that bring it along.
//!
//! Edges are thin: a command parses its input into core types, calls the core, and prints the result.

pub mod application;
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

use std::ffi::OsString;

use clap::Parser as _;
use signal_hook::consts::SIGXFSZ;

/// Runs the command with these arguments, of which the first is the program's name. Returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let given: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match arguments::Arguments::try_parse_from(&given) {
        Ok(arguments) => arguments,
        Err(error) => return usage::report(&error, &given),
    };
    match outlive_a_file_size_limit().and_then(|()| commands::run(arguments)) {
        Ok(()) => 0,
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
