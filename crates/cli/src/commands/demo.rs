//! `trailseal demo`: everything at once, on real records.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anstyle::Style;
use trailseal_core::file::StdFiles;
use trailseal_core::verify::{self, VerifyOptions};
use trailseal_core::{Folder, Notice, Reader, RecordOptions, Status, Trail};
use trailseal_event::filter::Filter;
use trailseal_import::{Mapping, SAMPLES, read};
use trailseal_index::{Order, Search};

use super::query::every;
use super::reading::filter;
use super::writing::CLOSE_TIMEOUT;
use crate::arguments::{Filters, Format};
use crate::failure::{Failure, Outcome};
use crate::output::{self, Writer, tell, thousands};
use crate::settings::Settings;

const ONCE: RecordOptions = RecordOptions::new().once();

const FOLDER: &str = "trailseal-demo";
/// Marks a folder as made by this command, so that it may be replaced.
const MARKER: &str = ".made-by-trailseal-demo";

pub(super) fn run(settings: &Settings, is_dir_given: bool) -> Outcome {
    let dir = if is_dir_given { settings.dir() } else { PathBuf::from(FOLDER) };
    if !settings.options()?.create {
        return Err(Failure::could_not(
            "the demo makes a trail, and `create = false` forbids that: run it with TRAILSEAL_CREATE=true",
        ));
    }
    start_afresh(&dir)?;
    let mut out = output::stdout();
    let bold = Style::new().bold();
    let mut say = |text: &str| -> Outcome {
        writeln!(out, "{bold}{text}{bold:#}")?;
        Ok(out.flush()?)
    };
    say("1. Recording real audit records: AWS CloudTrail, Kubernetes, GitHub")?;
    record(&dir)?;
    say("\n2. Who was denied something?")?;
    query(&dir)?;
    say("\n3. Every event is a leaf of a signed Merkle tree")?;
    let (note, _) = Reader::open(&dir, Arc::new(StdFiles))?.checkpoint()?;
    super::text::write_out(None, indented(&note).as_bytes())?;
    say("\n4. Verified from the folder alone")?;
    let verdict = verify::verify(&Folder::new(&dir, Arc::new(StdFiles)), &VerifyOptions::default())?;
    super::text::write_out(None, indented(&verdict.to_string()).as_bytes())?;
    if !verdict.ok {
        return Err(Failure::no("verification of the trail failed"));
    }
    say("\n5. Somebody with root changes one byte (in a copy)")?;
    catch_tampering(&dir)?;
    say("\nTry the intact trail:")?;
    let shown = dir.display();
    let more = format!(
        "  trailseal query --dir {shown} --action '*delete*'\n  trailseal history --dir {shown} pods/test-pod\n  \
         trailseal prove --dir {shown} 42 | less\n  jq . {shown}/segments/*.jsonl | less\n"
    );
    super::text::write_out(None, more.as_bytes())
}

fn start_afresh(dir: &Path) -> Outcome {
    if dir.is_dir() {
        let is_empty = std::fs::read_dir(dir).map_err(Failure::io("read", dir))?.next().is_none();
        if !is_empty && !dir.join(MARKER).exists() {
            return Err(Failure::could_not(format!(
                "{} was not made by the demo and is left unchanged: choose another folder with --dir",
                dir.display()
            )));
        }
        if !is_empty {
            refuse_if_in_use(dir)?;
            std::fs::remove_dir_all(dir).map_err(Failure::io("empty", dir))?;
        }
    }
    std::fs::create_dir_all(dir).map_err(Failure::io("make", dir))?;
    std::fs::write(dir.join(MARKER), "").map_err(Failure::io("write to", dir))
}

/// Somebody may be using the trail of an earlier run.
fn refuse_if_in_use(dir: &Path) -> Outcome {
    match Reader::open(dir, Arc::new(StdFiles)) {
        Ok(reader) if reader.holder().is_some() => Err(Failure::could_not(format!(
            "another process writes to {}: stop it, or choose another folder with --dir",
            dir.display()
        ))),
        _ => Ok(()),
    }
}

fn record(dir: &Path) -> Outcome {
    let mut options = Settings::default().one_shot_options()?;
    options.origin = Some("demo.trailseal/1".into());
    options.on_notice = Some(Arc::new(|notice: &Notice| tell(&format!("notice: {notice}"))));
    let trail = Trail::open(dir, options)?;
    let mut out = std::io::stdout();
    for (format, name, bytes) in SAMPLES {
        let Some(mapping) = Mapping::builtin(format) else { continue };
        let begun = Instant::now();
        let mut recorded = 0u64;
        for record in read(bytes, mapping) {
            let record = record.map_err(|failed| {
                Failure::could_not(format!("{name}, line {}: {}", failed.line, failed.reason))
            })?;
            let receipt = trail.with(ONCE).record(&record.event)?;
            if !matches!(receipt.status, Status::Repeated { .. }) {
                recorded += 1;
            }
        }
        writeln!(
            out,
            "   {recorded:>3} events from {name:<24} {:>5.1} ms",
            begun.elapsed().as_secs_f64() * 1e3
        )?;
    }
    trail.close(CLOSE_TIMEOUT)?;
    Ok(())
}

fn query(dir: &Path) -> Outcome {
    const SHOWN: u64 = 5;
    let mut search = Search::open(dir, Arc::new(StdFiles))?;
    let denied =
        Filter { outcome: vec![Some(trailseal_event::Outcome::Denied)], ..filter(&Filters::default())? };
    let mut writer = Writer::new(output::stdout(), Format::Table, output::Trails::of(&search), None);
    let mut count = 0;
    every(&mut search, &denied, Order::NEWEST, &mut |hit| {
        count += 1;
        if count <= SHOWN { writer.event(hit) } else { Ok(()) }
    })?;
    if count > SHOWN {
        writer.note(&format!("and {} more", thousands(count - SHOWN)))?;
    }
    Ok(writer.finish()?)
}

/// Changes one byte in a copy, and fails unless `verify` finds and names it.
fn catch_tampering(dir: &Path) -> Outcome {
    let copy = dir.join("tampered-copy");
    copy_folder(dir, &copy)?;
    let mut reader = Reader::open(&copy, Arc::new(StdFiles))?;
    let index = reader.end().get() / 2;
    let segment = reader.segments().first().map(|segment| segment.path.clone());
    let Some(segment) = segment else { return Err(Failure::no("the demo trail has no segment")) };
    let mut offset = 0;
    reader.for_each(0..index, &mut |_, line| {
        offset += line.len() + 1;
        ControlFlow::Continue(())
    })?;
    let mut bytes = std::fs::read(&segment).map_err(Failure::io("read", &segment))?;
    // A letter of the action: the line stays valid JSON with another meaning.
    let needle = b"\"action\":\"";
    let found = bytes[offset..].windows(needle.len()).position(|window| window == needle);
    let at = offset + found.map_or(0, |found| found + needle.len());
    bytes[at] ^= 0x20;
    std::fs::write(&segment, bytes).map_err(Failure::io("write", &segment))?;
    let verdict = verify::verify(&Folder::new(&copy, Arc::new(StdFiles)), &VerifyOptions::default())?;
    let first = verdict.to_string();
    let red = Style::new().fg_color(Some(anstyle::AnsiColor::Red.into())).bold();
    let mut out = output::stdout();
    writeln!(out, "   {red}{}{red:#}", first.lines().next().unwrap_or_default())?;
    out.flush()?;
    std::fs::remove_dir_all(&copy).map_err(Failure::io("remove", &copy))?;
    if verdict.ok || verdict.first_bad != Some(index) {
        return Err(Failure::no(format!("the change of event {index} was not detected")));
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Outcome {
    std::fs::create_dir_all(to).map_err(Failure::io("make", to))?;
    for entry in std::fs::read_dir(from).map_err(Failure::io("read", from))? {
        let path = entry.map_err(Failure::io("read", from))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if target == to.join(to.file_name().unwrap_or_default()) {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map_err(Failure::io("copy", &path))?;
        }
    }
    Ok(())
}

/// As it is said elsewhere, but within the columns that there are.
fn indented(text: &str) -> String {
    let folded = |line: &str| output::folded(&format!("   {line}"), output::width(), "      ", true);
    text.trim_end().lines().map(|line| folded(line).trim_end().to_owned() + "\n").collect()
}
