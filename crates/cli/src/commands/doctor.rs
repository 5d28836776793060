//! `trailseal doctor`: reports what is wrong with this set-up and how to fix it.

mod anchors;
mod delivery;
#[cfg(feature = "postgres")]
mod guard;
mod personal;
mod policy;
mod retired;
#[cfg(feature = "postgres")]
mod waiting;

use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trailseal_core::file::{Files, StdFiles};
use trailseal_core::verify::{KeptMissing, kept_missing};
use trailseal_core::{HandoffPlace, Options, ReadError, Reader, trails_in, with_causes};
use trailseal_event::mask::{MaskOptions, Masker};
use trailseal_index::IndexView;

use super::writing::options_in;
use crate::failure::{Failure, Outcome};
use crate::output::{bytes, folded, printable, width};
use crate::settings::Settings;

/// One finding.
struct Finding {
    code: &'static str,
    what: String,
    mend: String,
}

/// Codes of findings that are only advice and do not count as problems.
const ADVICE: [&str; 5] = ["no_anchor", "mask_patterns", "inode_numbers", "personal_master", "store_roles"];

/// An ordinary event as it appears in a line.
const ORDINARY: &[u8] = br#""id":"01a1fd54-70e3-7b34-9fe6-f7d0a73d8416","time":"2026-11-21T08:58:52.003315Z","tenant":"acme","category":"data_change","action":"invoice.update","severity":"info","outcome":"success","actor":{"id":"u-10432","type":"user","name":"Ada Example"},"resource":{"type":"invoice","id":"inv-2026-0042"},"before":{"status":"open","amount":129900},"after":{"status":"paid","amount":129900},"changes":{"status":{"before":"open","after":"paid"}},"details":{"reason":"monthly run","batch":17},"context":{"ip":"203.0.113.9","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","request_id":"req-7f3a9c2e11d04b55","correlation_id":"corr-51c0ffee0042"}}"#;

/// Every code that a finding can have, the worst first.
const CODES: [&str; 34] = [
    "damaged",
    "checkpoint",
    "kept_missing",
    "retired_ids",
    "policy",
    "key_missing",
    "key_permissions",
    "origin",
    "personal_keys",
    "personal_permissions",
    "no_access",
    "no_trail",
    "disk_reserve",
    "unsealed",
    "not_closed",
    "handoff_memory",
    "index",
    "anchor",
    "no_anchor",
    "personal_master",
    "store",
    "sink",
    "store_schema",
    "store_append_only",
    "store_tenants",
    "store_roles",
    "store_partitions",
    "store_durability",
    "outbox",
    "outbox_refused",
    "outbox_claimed",
    "outbox_grants",
    "inode_numbers",
    "mask_patterns",
];

pub(super) fn run(settings: &Settings, json: bool) -> Outcome {
    let options = settings.options()?;
    let mut findings = Vec::new();
    examine(settings, &options, &mut findings);
    let is_well = findings.iter().all(|finding| ADVICE.contains(&finding.code));
    findings.sort_by_key(|finding| CODES.iter().position(|code| *code == finding.code));
    let mut out = std::io::stdout();
    if json {
        let rows: Vec<_> = settings
            .table()
            .into_iter()
            .map(|(name, value, source)| serde_json::json!({"name": name, "value": value, "source": source}))
            .collect();
        let found: Vec<_> = findings
            .iter()
            .map(|finding| serde_json::json!({"code": finding.code, "what": finding.what, "mend": finding.mend}))
            .collect();
        writeln!(out, "{}", serde_json::json!({"ok": is_well, "findings": found, "settings": rows}))?;
    } else {
        tell_settings(&mut out, settings)?;
        tell_findings(&mut out, &findings)?;
    }
    if is_well { Ok(()) } else { Err(Failure::No(None)) }
}

fn tell_settings(out: &mut impl Write, settings: &Settings) -> Outcome {
    let rows = settings.table();
    let longest = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    writeln!(out, "settings")?;
    for (name, value, source) in rows {
        let value = if value.is_empty() { "(none)".into() } else { printable(&value) };
        writeln!(out, "  {name:<longest$} {value:<26} {source}")?;
    }
    Ok(writeln!(out)?)
}

/// The worst comes first, and nothing after them.
fn tell_findings(out: &mut impl Write, findings: &[Finding]) -> Outcome {
    let advice = findings.iter().filter(|finding| ADVICE.contains(&finding.code)).count();
    let counted = |number: usize, one: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    };
    let problems = findings.len() - advice;
    match (problems, advice) {
        (0, 0) => writeln!(out, "nothing is wrong")?,
        (0, _) => writeln!(out, "no problem, but {}:", counted(advice, "recommendation"))?,
        (_, 0) => writeln!(out, "{}:", counted(problems, "problem"))?,
        _ => writeln!(out, "{} and {}:", counted(problems, "problem"), counted(advice, "recommendation"))?,
    }
    for Finding { code, what, mend } in findings {
        let fold = |text: &str| folded(&printable(text), width(), "  ", false);
        writeln!(out, "{}\n{}", fold(&format!("{code}: {what}")), fold(&format!("  {mend}")))?;
    }
    Ok(())
}

fn examine(settings: &Settings, options: &Options, findings: &mut Vec<Finding>) {
    let dir = settings.dir();
    let mut add =
        |code, what: String, mend: &str| findings.push(Finding { code, what, mend: mend.to_owned() });
    #[cfg(feature = "postgres")]
    if let Ok(Some(store)) = settings.own_store() {
        for (code, gap) in guard::look(store.url()) {
            add(code, gap.what, &gap.mend);
        }
    }
    #[cfg(feature = "postgres")]
    if let Ok(Some(outbox)) = settings.own_outbox() {
        for (code, what, mend) in waiting::look(outbox.url()) {
            add(code, what, &mend);
        }
    }
    // If there is no trail, the finding names the given folder.
    let folders = trails_in(&dir, &StdFiles).unwrap_or_default();
    let folders = if folders.is_empty() { vec![dir.clone()] } else { folders };
    for folder in &folders {
        match Reader::open(folder, Arc::new(StdFiles)) {
            Ok(mut reader) => {
                // Settings that cannot be used stop the start.
                if let Ok(options) = options_in(settings, options.clone(), folder) {
                    check_key(&reader, &options, &mut add);
                    check_origin(&reader, &options, &mut add);
                }
                check_seal(&reader, &mut add);
                check_index(&reader, settings, &mut add);
                check_inode_numbers(&StdFiles, folder, &mut add);
                check_personal(&reader, options, &dir, &mut add);
                if let Some((what, mend)) = policy::replaced(&reader) {
                    add("policy", what, mend);
                }
                if let Some(what) = retired::look(reader.folder()) {
                    let mend = "put the files segments/*.ids-* back from a backup; nothing else needs them";
                    add("retired_ids", what, mend);
                }
                if let Some(trouble) = delivery::look(&mut reader, settings) {
                    add("store", trouble.what, trouble.mend);
                }
                for stream in settings.streams() {
                    if let Some(trouble) = stream.trouble(reader.origin(), reader.end().get()) {
                        add("sink", trouble.what, trouble.mend);
                    }
                }
            }
            Err(ReadError::NoTrail { path }) if *folder != dir => {
                let what =
                    format!("{}: this slot or its trail.toml is gone, but others exist", path.display());
                add("damaged", what, "leave the folder unchanged and run `trailseal verify`");
            }
            Err(error @ ReadError::NoTrail { .. }) => {
                let mend = "record an event to create the trail, or name its folder with --dir";
                return add("no_trail", error.to_string(), mend);
            }
            Err(error) if is_closed_to_us(&error) => {
                let mend = "run it as the user who owns the folder, or let this user read it";
                return add("no_access", with_causes(&error), mend);
            }
            Err(error) => {
                let mend = "leave the folder unchanged and run `trailseal verify`";
                return add("damaged", with_causes(&error), mend);
            }
        }
    }
    check_disk(&dir, options, &mut add);
    check_handoff(&dir, options, &mut add);
    check_patterns(options, &mut add);
    for what in anchors::look(&options.anchors) {
        add("anchor", what, "make the folder, let this user write the file, or correct the [[anchor]]");
    }
    if options.anchors.is_empty() {
        let what =
            "no checkpoint leaves this machine: a rollback or a deleted trail would go undetected".to_owned();
        add(
            "no_anchor",
            what,
            "add [[anchor]] with file or command to the settings, or keep `trailseal checkpoint` elsewhere",
        );
    }
}

/// Whether only a lack of permission keeps the trail from being read.
fn is_closed_to_us(error: &ReadError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

type Add<'a> = dyn FnMut(&'static str, String, &str) + 'a;

fn check_disk(dir: &Path, options: &Options, add: &mut Add<'_>) {
    let Ok((free, total)) = StdFiles.free_bytes(dir) else { return };
    let reserve = options.disk_reserve_bytes.unwrap_or((256 << 20).min(total / 20));
    if free < reserve {
        let what = format!(
            "{} are free, less than the disk reserve of {}: new events are refused",
            bytes(free),
            bytes(reserve)
        );
        add("disk_reserve", what, "free some space, or lower disk_reserve");
    }
}

/// Whether the handoff's file has room. A process that holds the trail has made its own.
fn check_handoff(dir: &Path, options: &Options, add: &mut Add<'_>) {
    let place = match &options.handoff.place {
        HandoffPlace::InTrail => dir.join("handoff"),
        HandoffPlace::File(path) => path.clone(),
        HandoffPlace::Memory => return,
    };
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok((free, total)) = StdFiles.free_bytes(folder) else { return };
    let size = options.handoff.size_bytes;
    if place.exists() || size <= free {
        return;
    }
    let what = format!(
        "the handoff of {} does not fit into {}, where {} of {} are free: a process that keeps the trail open, such as \
         `serve`, has it in plain memory, and loses what is not yet written if it is killed",
        bytes(size),
        folder.display(),
        bytes(free),
        bytes(total)
    );
    add("handoff_memory", what, "set handoff.size to less, or handoff.path to a place with room");
}

fn check_key(reader: &Reader, options: &Options, add: &mut Add<'_>) {
    let path = options.key_file.clone().unwrap_or_else(|| reader.folder().keys_folder().join("signing.key"));
    match std::fs::metadata(&path) {
        Ok(data) if data.mode() & 0o077 != 0 => {
            let what = format!(
                "users other than its owner may access {} (mode {:o})",
                path.display(),
                data.mode() & 0o777
            );
            add(
                "key_permissions",
                what,
                "chmod 600 the file, and rotate the key if somebody may have read it",
            );
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let what = format!(
                "the signing key {} is missing: the trail cannot be opened for writing",
                path.display()
            );
            add("key_missing", what, "put the key back from your backup, or set key_file to where it is");
        }
        _ => {}
    }
}

/// A trail keeps its name: with another one in the settings, every opening for writing is refused.
fn check_origin(reader: &Reader, options: &Options, add: &mut Add<'_>) {
    let Some(wanted) = &options.origin else { return };
    if wanted.as_str() != reader.origin() {
        let what = format!(
            "the settings name the origin {wanted}, but the trail is {}: it cannot be opened for writing",
            reader.origin()
        );
        add("origin", what, "set origin to the trail's name, or dir to the trail that you mean");
    }
}

/// What the user's own patterns add to each `record`, measured now on an ordinary event.
fn check_patterns(options: &Options, add: &mut Add<'_>) {
    const LOOKS: u32 = 2_000;
    if !options.mask.enabled || options.mask.patterns.is_empty() {
        return;
    }
    let mean_ns = |mask: &MaskOptions| {
        let masker = Masker::new(mask).ok()?;
        let begun = Instant::now();
        for _ in 0..LOOKS {
            std::hint::black_box(masker.text_has(std::hint::black_box(ORDINARY)));
        }
        Some(begun.elapsed().as_nanos() / u128::from(LOOKS))
    };
    let without = MaskOptions { patterns: Vec::new(), ..MaskOptions::default() };
    let with = MaskOptions { patterns: options.mask.patterns.clone(), ..MaskOptions::default() };
    if let (Some(without), Some(with)) = (mean_ns(&without), mean_ns(&with)) {
        let what = format!(
            "mask.patterns make every record slower: {with} ns instead of {without} ns to check an ordinary event of \
             {} bytes",
            ORDINARY.len()
        );
        add("mask_patterns", what, "use few patterns, and use mask.keys where a key names the secret");
    }
}

fn check_index(reader: &Reader, settings: &Settings, add: &mut Add<'_>) {
    if !settings.uses_index().unwrap_or(true) {
        return;
    }
    let folder = reader.folder().root().join(trailseal_index::FOLDER);
    if let Err(error) = IndexView::open(&folder, reader.origin()) {
        add("index", error.to_string(), "run `trailseal reindex`; until then answers are correct but slow");
    }
}

fn check_personal(reader: &Reader, options: &Options, dir: &Path, add: &mut Add<'_>) {
    for finding in personal::look(reader, options, dir) {
        match finding {
            personal::Finding::Unusable(what) => add(
                "personal_keys",
                what,
                "put the right key file back, or set personal_keys to where it and its master key are; until then personal \
                 values are unreadable",
            ),
            personal::Finding::Permissions(what) => add(
                "personal_permissions",
                what,
                "chmod 600 the file: whoever has read it can read every personal value in a copy of the trail",
            ),
            personal::Finding::Unwrapped(what) => add(
                "personal_master",
                what,
                "set personal_keys.file to a place that is not backed up, and personal_keys.master_key or master_command",
            ),
        }
    }
}

fn check_inode_numbers(files: &dyn Files, folder: &Path, add: &mut Add<'_>) {
    if matches!(files.inode_numbers_hold(folder), Ok(false)) {
        let what = format!(
            "inode numbers do not hold on the file system of {}: a file that is replaced under the writer goes \
             unnoticed; only a removed or truncated one is noticed",
            folder.display()
        );
        add(
            "inode_numbers",
            what,
            "keep the trail on a local disk, or make sure that nothing else writes in its folder",
        );
    }
}

fn check_seal(reader: &Reader, add: &mut Add<'_>) {
    const STALE: Duration = Duration::from_secs(60);
    let checkpoint = match reader.checkpoint() {
        Ok((_, checkpoint)) => checkpoint,
        Err(error) => {
            return add(
                "checkpoint",
                error.to_string(),
                "leave the folder unchanged and run `trailseal verify`",
            );
        }
    };
    check_kept(reader, checkpoint.size, add);
    let unsealed = reader.end().get().saturating_sub(checkpoint.size);
    if unsealed == 0 {
        return;
    }
    let age = std::fs::metadata(reader.folder().checkpoint())
        .and_then(|data| data.modified())
        .ok()
        .and_then(|time| SystemTime::now().duration_since(time).ok());
    if reader.holder().is_none() {
        let what = format!(
            "{unsealed} events are not sealed, and no process holds the trail: the last one did not close it"
        );
        add(
            "not_closed",
            what,
            "start the process that writes, or run any command that writes: it recovers and seals them",
        );
    } else if age.is_some_and(|age| age > STALE) {
        let what = format!("{unsealed} events are not sealed, and the checkpoint is over a minute old");
        add("unsealed", what, "check the log of the process that writes: sealing fails");
    }
}

/// Beside the newest checkpoint, of this size.
fn check_kept(reader: &Reader, newest: u64, add: &mut Add<'_>) {
    let folder = reader.folder().kept_checkpoints_folder();
    let Ok(KeptMissing { owed, missing }) = kept_missing(reader.folder(), newest) else { return };
    if let Some(first) = missing.first() {
        let (count, folder) = (missing.len(), folder.display());
        let what =
            format!("{count} of {owed} kept checkpoints are missing in {folder}, from size {first} on");
        add(
            "kept_missing",
            what,
            "restore them from a backup, and find out who removed them: `trailseal verify` still finds every change, but \
             places it less exactly",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn codes_are_changed_on_purpose_only() {
        let sources =
            [include_str!("doctor.rs"), include_str!("doctor/guard.rs"), include_str!("doctor/waiting.rs")]
                .concat();
        for code in CODES {
            assert!(sources.matches(&format!("\"{code}\"")).count() >= 2, "{code} is never found");
        }
    }
}
