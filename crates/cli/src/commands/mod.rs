//! One file a command. What several of them need stands in `reading.rs`, `writing.rs` and `text.rs`.

mod backup;
mod bundle;
mod checkpoint;
mod consistency;
mod deciding;
mod demo;
mod doctor;
mod erase;
pub(crate) mod export;
mod history;
mod hold;
mod import;
mod input;
mod key;
mod man;
mod mask;
mod near;
#[cfg(feature = "postgres")]
mod outbox;
mod own_files;
pub(crate) mod policy;
pub(crate) mod prove;
mod query;
pub(crate) mod reading;
mod record;
mod reindex;
mod retain;
mod serve;
mod sink;
mod source;
mod stats;
#[cfg(feature = "postgres")]
mod store;
#[cfg(feature = "postgres")]
mod stored;
mod succeed;
mod summary;
mod tail;
mod text;
mod through_server;
mod tiles;
mod token;
pub(crate) mod verify;
#[cfg(feature = "redis")]
mod worker;
pub(crate) mod writing;

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory as _;

use writing::tell_slot;

use crate::arguments::{Arguments, Command, Import, Key, Policy};
use crate::failure::{Failure, Outcome};
use crate::server_client::ServerClient;
use crate::settings::Settings;

impl Command {
    /// Whether the command writes to the trail in a way that a server can do for it.
    fn writes(&self) -> bool {
        matches!(
            self,
            Command::Record(_)
                | Command::Import(Import { dry_run: false, .. })
                | Command::Policy { command: Policy::Set { .. } }
                | Command::Key { command: Key::Rotate }
                | Command::Retain(_)
                | Command::Hold { .. }
                | Command::Sink { .. }
                | Command::Erase(_)
        )
    }

    /// `--out -` is standard output, as `-` is standard input elsewhere.
    fn take_dash_for_standard_output(&mut self) {
        let out = match self {
            Command::Prove(prove) => &mut prove.out,
            Command::Consistency(consistency) => &mut consistency.out,
            Command::Export(export) => &mut export.out,
            _ => return,
        };
        *out = out.take().filter(|path| path != Path::new("-"));
    }
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let Arguments { common, mut command } = arguments;
    command.take_dash_for_standard_output();
    if let Command::Completions { shell } = command {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "trailseal", &mut text);
        return Ok(std::io::stdout().write_all(&text)?);
    }
    if let Command::Man(man) = &command {
        return man::run(man);
    }
    let is_dir_given = common.dir.is_some();
    let settings = Settings::load(&common)?;
    let json = common.json;
    if common.server.is_some() && !command.writes() && !matches!(command, Command::Token { .. }) {
        return Err(Failure::could_not(
            "--server is for record, import, policy set, key rotate, token, retain, hold, erase and sink: see the server's /docs",
        ));
    }
    if command.writes()
        && let Some(server) = ServerClient::beside(&settings)?
        && ask_server(&server, &command, json)?
    {
        let own = match command {
            Command::Policy { .. } => "policy",
            Command::Key { .. } => "key",
            Command::Retain(_) => "events",
            Command::Hold { .. } => "holds",
            Command::Sink { .. } => "sinks",
            Command::Erase(_) => "keys of personal values",
            // The receipts name the trail.
            _ => return Ok(()),
        };
        server.folder().into_iter().for_each(|folder| tell_slot(&settings, folder, own));
        return Ok(());
    }
    match command {
        Command::Demo => demo::run(&settings, is_dir_given),
        Command::Record(record) => record::run(&settings, &record, json),
        Command::Import(import) => import::run(&settings, &import, json),
        Command::Query(query) => query::run(&settings, &query, json),
        Command::Tail(tail) => tail::run(&settings, &tail, json),
        Command::History(history) => history::run(&settings, &history, json),
        Command::Verify(verify) => verify::run(&settings, &verify, json),
        Command::Checkpoint => checkpoint::run(&settings, json),
        Command::Prove(prove) => prove::run(&settings, &prove, json),
        Command::Consistency(consistency) => consistency::run(&settings, &consistency, json),
        Command::Export(export) => export::run(&settings, &export, json),
        Command::Summary(summary) => summary::run(&settings, &summary, json),
        Command::Stats => stats::run(&settings, json),
        Command::Reindex(reindex) => reindex::run(&settings, &reindex, json),
        Command::Backup(backup) => backup::run(&settings, &backup, json),
        Command::Succeed(succeed) => succeed::run(&settings, &succeed, is_dir_given, json),
        Command::Tiles(tiles) => tiles::run(&settings, &tiles, json),
        Command::Policy { command } => policy::run(&settings, &command, json),
        Command::Serve(serve) => serve::run(settings, &serve),
        Command::Token { command } => token::run(&settings, &command, json),
        Command::Doctor => doctor::run(&settings, json),
        Command::Mask(mask) => mask::run(&settings, &mask, json),
        Command::Key { command } => key::run(&settings, &command, json),
        Command::Retain(retain) => retain::run(&settings, &retain, json),
        Command::Hold { command } => hold::run(&settings, &command, json),
        Command::Sink { command } => sink::run(&settings, &command, json),
        #[cfg(feature = "postgres")]
        Command::Store { command } => store::run(&settings, &command, json),
        #[cfg(feature = "postgres")]
        Command::Outbox { command } => outbox::run(&settings, &command, json),
        #[cfg(feature = "postgres")]
        Command::Redeliver { outbox } => outbox::redelivered(&settings, &outbox, json),
        #[cfg(feature = "redis")]
        Command::Worker(worker) => worker::run(&settings, &worker, json),
        Command::Erase(erase) => erase::run(&settings, &erase, json),
        Command::Man(_) | Command::Completions { .. } => Ok(()),
    }
}

/// Has the server that holds the trail run the command. `false` if a server cannot; then the trail is found in use.
fn ask_server(server: &ServerClient, command: &Command, json: bool) -> Outcome<bool> {
    match command {
        Command::Record(record) => through_server::record(server, record, json).map(|()| true),
        Command::Import(import) => through_server::import(server, import, json).map(|()| true),
        Command::Policy { command } => through_server::policy(server, command),
        Command::Key { command: Key::Rotate } => through_server::rotate_key(server, json).map(|()| true),
        Command::Retain(retain) => retain::by_server(server, retain, json).map(|()| true),
        Command::Hold { command } => hold::by_server(server, command, json).map(|()| true),
        Command::Sink { command } => sink::by_server(server, command, json).map(|()| true),
        Command::Erase(erase) => erase::by_server(server, erase, json).map(|()| true),
        _ => Ok(false),
    }
}
