//! The `trailseal` command.
//!
//! Edges are thin: a command reads its input into core types, calls the core, and writes the answer.

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

/// Has a write beyond the process's limit on the size of a file (`ulimit -f`) fail, as on a full disk. By default the
/// system ends the process by SIGXFSZ.
fn outlive_a_file_size_limit() {
    let noted = std::sync::Arc::default();
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, noted) {
        eprintln!("trailseal: a limit on the size of files would end this process: {error}");
    }
}
