//! `trailseal mask`: what would be masked, and the hash that replaces a secret.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use trailseal_core::file::StdFiles;
use trailseal_core::{Folder, load_mask_key, trails_in};
use trailseal_event::complete::complete;
use trailseal_event::mask::{MaskKey, Masker};
use trailseal_event::{Event, Timestamp, Value, line};

use super::input;
use crate::arguments::{Mask, MaskCommand};
use crate::failure::{Failure, Outcome};
use crate::output::{printable, stdout, tell, thousands};
use crate::settings::Settings;

/// How much of a masked value is shown in the table.
const SHOWN_MAX: usize = 60;

pub(super) fn run(settings: &Settings, arguments: &Mask, json: bool) -> Outcome {
    match (&arguments.command, &arguments.file) {
        (Some(MaskCommand::Hash { value }), _) => hash(settings, value, json),
        (None, Some(file)) => show(settings, file, json),
        (None, None) => Err(Failure::could_not("name a file, or - for standard input")),
    }
}

/// The keys of the trail, or of all slots.
pub(super) fn keys(settings: &Settings) -> Outcome<Vec<MaskKey>> {
    let dir = settings.dir();
    let slots = trails_in(&dir, &StdFiles).unwrap_or_default();
    let folders = if slots.is_empty() { vec![dir] } else { slots };
    let mut keys: Vec<MaskKey> = Vec::new();
    for folder in folders {
        let key = load_mask_key(&Folder::new(folder, Arc::new(StdFiles))).map_err(Failure::could_not)?;
        keys.extend(key.filter(|key| !keys.contains(key)));
    }
    Ok(keys)
}

fn hash(settings: &Settings, value: &str, json: bool) -> Outcome {
    let dir = settings.dir();
    let keys = keys(settings)?;
    if keys.is_empty() {
        return Err(Failure::could_not(format!(
            "{} has no masking key: the key is created when a trail is first opened for writing with masking on, and \
             a backup has it only with --with-keys",
            dir.display()
        )));
    }
    let mut from_stdin = String::new();
    let secret = if value == "-" {
        std::io::stdin().read_to_string(&mut from_stdin).map_err(Failure::io("read", Path::new("-")))?;
        from_stdin.strip_suffix('\n').unwrap_or(&from_stdin)
    } else {
        value
    };
    let mut out = stdout();
    // A folder of slots may have several: one writer's hash is not another's.
    for hash in keys.iter().map(|key| key.hash(secret)) {
        match json {
            true => writeln!(out, "{}", json!({"hash": hash}))?,
            false => writeln!(out, "{hash}")?,
        }
    }
    Ok(out.flush()?)
}

/// One event's masked values.
struct Shown {
    line: u64,
    action: String,
    values: Vec<(String, String)>,
}

fn show(settings: &Settings, file: &Path, json: bool) -> Outcome {
    let masker = settings.masker(keys(settings)?.into_iter().next())?;
    let input: Box<dyn Read> =
        if file == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(input::open(file)?) };
    let mut out = stdout();
    let (mut events, mut masked, mut values, mut bad) = (0u64, 0u64, 0u64, 0u64);
    for (number, bytes) in BufReader::new(input).split(b'\n').enumerate() {
        let bytes = bytes.map_err(Failure::io("read", file))?;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let line = number as u64 + 1;
        let Some(shown) = masked_values(&masker, line, &bytes) else {
            bad += 1;
            tell(&format!("line {line}: not an event: it is not JSON or has no action"));
            continue;
        };
        events += 1;
        if shown.values.is_empty() {
            continue;
        }
        masked += 1;
        values += shown.values.len() as u64;
        if json {
            writeln!(out, "{}", as_json(&shown))?;
        } else {
            write_rows(&shown, &mut out)?;
        }
    }
    out.flush()?;
    tell(&format!(
        "{} values would be masked, in {} of {} events",
        thousands(values),
        thousands(masked),
        thousands(events)
    ));
    if bad > 0 { Err(Failure::No(None)) } else { Ok(()) }
}

/// What an event's secrets become. `None` if it is not an event.
fn masked_values(masker: &Masker, line: u64, bytes: &[u8]) -> Option<Shown> {
    let mut event = Event::from_json(bytes).ok()?;
    let paths = masker.mask(&mut event);
    let mut rest = vec![b'{'];
    line::write_rest(&event, &complete(&event, Timestamp::from_micros(0)), &mut rest).ok()?;
    let event_value = Value::parse(&rest).ok()?;
    let becomes = |path: &String| match event_value.get_path(path) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "(removed)".to_owned(),
    };
    let values = paths.iter().map(|path| (path.clone(), becomes(path))).collect();
    Some(Shown { line, action: event.action, values })
}

fn as_json(shown: &Shown) -> serde_json::Value {
    let values: Vec<_> =
        shown.values.iter().map(|(path, becomes)| json!({"path": path, "becomes": becomes})).collect();
    json!({"line": shown.line, "action": shown.action, "masked": values})
}

fn write_rows(shown: &Shown, out: &mut impl std::io::Write) -> std::io::Result<()> {
    for (path, becomes) in &shown.values {
        let mut text: String = becomes.chars().take(SHOWN_MAX).collect();
        if text.len() < becomes.len() {
            text.push('…');
        }
        let (action, path) = (printable(&shown.action), printable(path));
        writeln!(out, "{:>6}  {action}  {path}  {}", shown.line, printable(&text))?;
    }
    Ok(())
}
