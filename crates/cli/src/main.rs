//! The `trailseal` command.
//!
//! Edges are thin: a command reads its input into core types, calls the core, and writes the answer.

mod arguments;
mod commands;
mod failure;
mod output;
mod progress;
mod settings;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
