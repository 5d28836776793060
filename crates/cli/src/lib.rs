//! The `trailseal` command, for its own program and for others that bring it along.
//!
//! Edges are thin: a command parses its input into core types, calls the core, and prints the result.

pub mod application;
mod arguments;
mod commands;
mod destination;
mod failure;
mod output;
mod progress;
mod server_client;
mod server_log;
mod settings;
#[cfg_attr(not(feature = "postgres"), path = "store_absent.rs")]
mod store;
#[cfg_attr(not(feature = "redis"), path = "stream_absent.rs")]
mod stream;
mod usage;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

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

/// Every user of a machine sees the arguments of its processes. If a URL in these has a password, the program is begun anew with that
/// in its environment, which only its own user sees; if it cannot be, the arguments stay as they are.
pub fn without_passwords(arguments: Vec<OsString>) -> Vec<OsString> {
    let (mut shown, mut found) = (Vec::with_capacity(arguments.len()), Vec::new());
    let mut flag_before = None;
    for argument in &arguments {
        let text = argument.to_str().unwrap_or_default();
        let inside = FLAGS
            .iter()
            .find_map(|(flag, variable)| Some((text.strip_prefix(flag)?.strip_prefix('=')?, *variable)));
        let url = inside.or(flag_before.map(|variable| (text, variable)));
        flag_before = FLAGS.iter().find(|(flag, _)| *flag == text).map(|(_, variable)| *variable);
        let without_password = |url| store::without_password(url).or_else(|| stream::without_password(url));
        match url.and_then(|(url, variable)| Some((url, variable, without_password(url)?))) {
            Some((url, variable, (bare, password))) => {
                found.push((variable, password));
                shown.push(text.replace(url, &bare).into());
            }
            None => shown.push(argument.clone()),
        }
    }
    let (false, Some((name, rest)), Ok(program)) =
        (found.is_empty(), shown.split_first(), std::env::current_exe())
    else {
        return arguments;
    };
    let mut again = Command::new(program);
    again.arg0(name).args(rest).envs(found);
    // Returns only if it failed.
    let _ = again.exec();
    arguments
}

/// Flags with URLs, and the settings of their passwords.
const FLAGS: [(&str, &str); 4] = [
    ("--store", "TRAILSEAL_STORE__PASSWORD"),
    ("--outbox", "TRAILSEAL_OUTBOX__PASSWORD"),
    ("--to", "TRAILSEAL_STORE__PASSWORD"),
    ("--from", settings::REDIS_PASSWORD),
];

/// Makes a write beyond the process's file-size limit (`ulimit -f`) fail like one on a full disk. By default the system
/// kills the process with SIGXFSZ.
fn outlive_a_file_size_limit() -> Result<(), failure::Failure> {
    let registered = signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default());
    registered.map(drop).map_err(|error| {
        failure::Failure::could_not(format!("could not prepare for a limit on file size: {error}"))
    })
}
