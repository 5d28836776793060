//! One file per command, and what several of them need.

mod backup;
mod beside;
mod bundle;
mod checkpoint;
mod consistency;
mod demo;
mod doctor;
mod export;
mod history;
mod import;
mod input;
mod key;
mod mask;
mod policy;
mod prove;
mod query;
mod record;
mod reindex;
mod serve;
mod stats;
mod succeed;
mod summary;
mod tail;
mod tiles;
mod token;
mod verify;

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory as _;
use trailseal_core::clock::{Clock as _, SystemClock};
use trailseal_core::file::{StdFiles, open_named};
use trailseal_core::{Closed, Notice, Options, ReadError, Reader, Trail, trails_in};
use trailseal_event::filter::Filter;
use trailseal_index::{IndexOptions, IndexedIds, Indexer, Search};

use crate::arguments::{Arguments, Command, Filters, Key, Policy};
use crate::destination::Destination;
use crate::failure::{Failure, Outcome};
use crate::output::{tell, thousands};
use crate::server_client::ServerClient;
use crate::settings::Settings;

/// How long a command waits for the disk before it gives up.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

impl Command {
    /// Whether the command writes to the trail in a way that a server can do for it.
    fn writes(&self) -> bool {
        matches!(
            self,
            Command::Record(_)
                | Command::Import(_)
                | Command::Policy { command: Policy::Set { .. } }
                | Command::Key { command: Key::Rotate }
        )
    }
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let Arguments { common, command } = arguments;
    if let Command::Completions { shell } = command {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "trailseal", &mut text);
        return Ok(std::io::stdout().write_all(&text)?);
    }
    let is_dir_given = common.dir.is_some();
    let settings = Settings::load(&common)?;
    let json = common.json;
    if common.server.is_some() && !command.writes() && !matches!(command, Command::Token { .. }) {
        return Err(Failure::could_not(
            "--server is for record, import, policy set, key rotate and token: see the server's /docs",
        ));
    }
    if command.writes()
        && let Some(server) = ServerClient::beside(&settings)?
        && ask_server(&server, &command, json)?
    {
        let own = match command {
            Command::Policy { .. } => "a policy",
            Command::Key { .. } => "a key",
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
        Command::Completions { .. } => Ok(()),
    }
}

/// Has the server that holds the trail run the command. `false` if a server cannot; then the trail is found in use.
fn ask_server(server: &ServerClient, command: &Command, json: bool) -> Outcome<bool> {
    match command {
        Command::Record(record) => beside::record(server, record, json).map(|()| true),
        Command::Import(import) => beside::import(server, import, json).map(|()| true),
        Command::Policy { command } => beside::policy(server, command),
        Command::Key { command: Key::Rotate } => beside::rotate_key(server, json).map(|()| true),
        _ => Ok(false),
    }
}

/// The folders of all trails in `dir`.
fn trails_to_read(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let folders = trails_in(dir, &StdFiles).map_err(Failure::io("read", dir))?;
    if folders.is_empty() {
        return Err(ReadError::NoTrail { path: dir.to_owned() }.into());
    }
    Ok(folders)
}

/// A view of the trail for commands that read.
fn reader(settings: &Settings) -> Outcome<Reader> {
    Ok(Reader::open(settings.dir(), Arc::new(StdFiles))?)
}

/// All trails in the folder, for searching.
fn search(settings: &Settings) -> Outcome<Search> {
    let mut search = Search::open(&settings.dir(), Arc::new(StdFiles))?;
    search.tell_trouble(Arc::new(|error| tell(&format!("notice: the index is not used: {error}"))));
    Ok(search)
}

/// The trail for commands that write; created if there is none. Its events also go into the index.
fn open_trail(settings: &Settings) -> Outcome<Trail> {
    open_trail_with(settings, settings.one_shot_options()?)
}

fn open_trail_with(settings: &Settings, mut options: Options) -> Outcome<Trail> {
    options.on_notice = Some(Arc::new(|notice: &Notice| tell(&format!("notice: {notice}"))));
    let trail = match settings.uses_slots()? {
        true => Trail::open_slot(settings.dir(), options)?,
        false => Trail::open(settings.dir(), options)?,
    };
    if settings.uses_index()? {
        attach_index(&trail)?;
    }
    Ok(trail)
}

/// With several slots, a command concerns one of them: says which.
fn tell_slot(settings: &Settings, folder: &Path, own: &str) {
    if folder != settings.dir() {
        tell(&format!("this concerns only {}: each slot has its own {own}", folder.display()));
    }
}

/// The index is derived: a failure to write it is reported and stops nothing.
fn attach_index(trail: &Trail) -> Outcome {
    let folder = trail.folder().root().join(trailseal_index::FOLDER);
    let options = IndexOptions::new(trail.origin());
    match Indexer::open(&folder, options.clone()) {
        Ok(indexer) => {
            trail.look_ids_up_in(Box::new(IndexedIds::new(&folder, &options)));
            trail
                .deliver_to_store(Box::new(indexer))
                .map_err(|error| Failure::could_not(format!("could not start to index: {error}")))
        }
        Err(error) => {
            tell(&format!("notice: events are recorded but not indexed: {error}"));
            Ok(())
        }
    }
}

fn close_trail(trail: &Trail) -> Outcome {
    all_sealed(&trail.close(CLOSE_TIMEOUT)?)
}

/// A close that could not seal loses nothing, but scripts that check the exit code must know.
fn all_sealed(closed: &Closed) -> Outcome {
    let left = closed.events.saturating_sub(closed.sealed);
    if left == 0 || cfg!(trailseal_fault = "unsealed_end_is_good") {
        return Ok(());
    }
    let trouble = closed.seal_trouble.as_ref().map(|trouble| format!(": {}", trouble.reason));
    Err(Failure::no(format!(
        "{} events are on disk but could not be sealed; the next opening seals them{}",
        thousands(left),
        trouble.unwrap_or_default()
    )))
}

/// The filter that the flags describe.
fn filter(flags: &Filters) -> Outcome<Filter> {
    let mut filter = Filter { system: flags.system, ..Filter::default() };
    for (name, value) in flags.pairs() {
        filter.set(name, value, SystemClock.now()).map_err(|error| {
            Failure::could_not(error.to_string().replacen(name, &format!("--{}", name.replace('_', "-")), 1))
        })?;
    }
    Ok(filter)
}

/// Reads a small text file named by the user, or stdin for `-`.
fn read_text(path: &Path) -> Outcome<String> {
    const BYTES_MAX: u64 = 64 << 20;
    let mut text = String::new();
    let file: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(open_named(path).map_err(Failure::io("read", path))?)
    };
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(Failure::io("read", path))?;
    Ok(text)
}

/// Writes a proof or note to a file, or to stdout if none is named: as it is, or as the JSON object `answer`.
fn write_text(out: Option<&Path>, text: &str, answer: Option<serde_json::Value>) -> Outcome {
    match answer {
        Some(answer) => write_out(out, format!("{answer}\n").as_bytes()),
        None => write_out(out, text.as_bytes()),
    }
}

/// Writes `bytes` to a file, or to stdout if none is named.
fn write_out(out: Option<&Path>, bytes: &[u8]) -> Outcome {
    match out {
        Some(path) => {
            let mut destination = Destination::create(path)?;
            destination.file().write_all(bytes).map_err(Failure::io("write", path))?;
            destination.finish()
        }
        None => {
            let mut stdout = std::io::stdout();
            stdout.write_all(bytes)?;
            Ok(stdout.flush()?)
        }
    }
}
