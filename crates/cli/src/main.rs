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
    outlive_a_file_size_limit();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Makes a write beyond the process's file-size limit (`ulimit -f`) fail like one on a full disk. By default the system
/// kills the process with SIGXFSZ.
fn outlive_a_file_size_limit() {
    let noted = std::sync::Arc::default();
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, noted) {
        eprintln!("trailseal: a limit on file size would kill this process: {error}");
    }
}
