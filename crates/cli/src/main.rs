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

fn main() -> ExitCode {
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::report(&error),
    };
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
