//! The inputs of an import: what they are taken for, and whether the mapping understands them.

use std::borrow::Cow;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::PoisonError;
use std::time::SystemTime;

use trailseal_event::{Timestamp, nearest};
use trailseal_import::blocks::Blocks;
use trailseal_import::hashes::OldHashes;
use trailseal_import::mapping::BUILT_IN;
use trailseal_import::tables::{DumpLines, Table};
use trailseal_import::{Mapping, MappingError, Reading, Records, Sample, Written, read_in_order};

use super::blocks::{AllBlocks, Told};
#[cfg(feature = "postgres")]
use super::database;
#[cfg(not(feature = "postgres"))]
use super::database_absent as database;
use super::sqlite;
use super::summary::{Place, Summary};
use crate::arguments::Import;
use crate::commands::{input, text::read_text};
use crate::failure::{Failure, Outcome};
use crate::output::tell;
use crate::progress;

/// What `--from` says to have the format found out.
const AUTO: &str = "auto";

/// What to import, and how. All files are opened first, so a misspelt name stops the import before it begins.
pub(in crate::commands) struct Source {
    /// None if it is found out for each file.
    pub(super) mapping: Option<Cow<'static, Mapping>>,
    pub(super) inputs: Vec<Input>,
    pub(super) anyway: bool,
}

/// A file or a table to import.
pub(super) struct Input {
    pub(super) name: Rc<str>,
    pub(super) reader: Box<dyn BufRead + Send>,
    /// When it was written.
    pub(super) written: Option<Timestamp>,
    /// That of what it was opened as.
    pub(super) mapping: Option<&'static Mapping>,
    /// Where the hashes of a block are told of, once it was read.
    pub(super) told: Option<Told>,
}

impl Source {
    pub(in crate::commands) fn open(arguments: &Import) -> Outcome<Source> {
        let mapping = match (arguments.from.as_deref(), &arguments.map) {
            (_, Some(path)) => {
                Some(Cow::Owned(Mapping::parse(&read_text(path)?).map_err(|error: MappingError| {
                    Failure::could_not(format!("{}:{}: {}", path.display(), error.line, error.message))
                })?))
            }
            (Some(AUTO), None) => None,
            (Some(format), None) => Some(Cow::Borrowed(Mapping::builtin(format).ok_or_else(|| {
                let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).chain([AUTO]).collect();
                let what = match nearest(&format.replace('-', "_"), &names) {
                    Some(nearest) => format!("did you mean {nearest}?"),
                    None => format!("use {AUTO}, {}, or --map FILE", known_formats()),
                };
                Failure::could_not(format!("there is no format {format:?}: {what}"))
            })?)),
            (None, None) => {
                return Err(Failure::could_not(format!(
                    "say what the records are: --from FORMAT, such as {AUTO}, or --map FILE; see `trailseal import --help`"
                )));
            }
        };
        let (wanted, blocks) = (Wanted::of(arguments), AllBlocks::default());
        let inputs =
            arguments.files.iter().map(|path| open(path, &wanted, &blocks)).collect::<Outcome<_>>()?;
        Ok(Source { mapping, inputs, anyway: arguments.anyway })
    }

    /// Calls `take` with the JSON of each event, until that fails. Anything that is not a record is reported and left out. A file
    /// that the mapping does not understand ends it, before anything of that file is taken.
    pub(in crate::commands) fn each(
        self,
        summary: &mut Summary,
        mut take: impl FnMut(Place, &[u8], &mut Summary) -> Outcome,
    ) -> Outcome {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for Input { name, reader, written, mapping, told } in self.inputs {
            let given = mapping.or(self.mapping.as_deref());
            let mut records = records(reader, given);
            let sample = Sample::of(&mut records);
            let Some(mapping) = mapping_for(&name, &sample, given, true)? else { continue };
            let doubt = sample.judge(mapping, written).doubt.filter(|_| !self.anyway);
            if let Some(doubt) = doubt {
                return Err(Failure::could_not(format!(
                    "{name}: {doubt}; nothing of it was recorded: choose another --from ({AUTO}, {}) or --map, see \
                     --dry-run, or go on with --anyway",
                    known_formats()
                )));
            }
            let hashes = OldHashes::of(mapping.format());
            if let Some(hashes) = hashes.clone() {
                sample.records().for_each(|record| hashes.look(record));
                records = records.observed(move |record| hashes.look(record));
            }
            let mut outcome = Ok(());
            read_in_order(records, Reading { mapping, written }, threads, &mut |event| {
                summary.read += 1;
                outcome = match event {
                    Ok(Written { line, json, defaulted }) => {
                        summary.count_defaulted(defaulted);
                        take(Place { file: name.clone(), line }, json, summary)
                    }
                    Err(failed) => {
                        summary.fail(Place { file: name.clone(), line: failed.line }, failed.reason);
                        Ok(())
                    }
                };
                if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .map_err(|error| Failure::could_not(format!("could not start a thread: {error}")))?;
            outcome?;
            let report = hashes.map(|hashes| hashes.finish());
            let of_block = || told?.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(report) = report.or_else(of_block) {
                summary.add_hashes(&name, report);
            }
        }
        Ok(())
    }
}

fn known_formats() -> String {
    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The records of a file, arranged as the mapping understands them.
pub(super) fn records(
    reader: Box<dyn BufRead + Send>,
    mapping: Option<&Mapping>,
) -> Records<'_, Box<dyn BufRead + Send>> {
    match mapping {
        Some(mapping) => Records::of(reader, mapping),
        None => Records::of_any(reader),
    }
}

/// The mapping for a file: the one that was given, or the one that fits. None if the file is empty.
pub(super) fn mapping_for<'m>(
    name: &str,
    sample: &Sample,
    given: Option<&'m Mapping>,
    is_told: bool,
) -> Outcome<Option<&'m Mapping>> {
    if given.is_some() {
        return Ok(given);
    }
    let unknown = |why: &str| {
        Failure::could_not(format!(
            "{name}: this is none of the known formats ({why}): nothing of it was recorded; name one with --from ({}), or \
             write a mapping for --map",
            known_formats()
        ))
    };
    if sample.is_empty() {
        return sample.failure().map_or(Ok(None), |failure| Err(unknown(&failure)));
    }
    match sample.detect() {
        Some((mapping, why)) => {
            if is_told {
                tell(&format!("{name}: taken for {}: {why}", mapping.format()));
            }
            Ok(Some(mapping))
        }
        None => Err(unknown(&format!(
            "{}; the first record has {}{}",
            sample.taken_for(),
            sample.keys(),
            sample.inside().map(|inside| format!("; {inside}")).unwrap_or_default(),
        ))),
    }
}

/// What the arguments say of a database.
enum Wanted {
    /// Whichever is there.
    Any,
    Table(&'static Table),
    /// Blocks of encrypted entries.
    Blocks,
    /// Something that is in no table.
    Other,
}

/// The format of encrypted blocks.
const BLOCKS: &str = "resync_blocks";

impl Wanted {
    fn of(arguments: &Import) -> Wanted {
        match (arguments.from.as_deref(), &arguments.map) {
            (Some(AUTO), None) => Wanted::Any,
            (Some(format), None) if format.replace('-', "_") == BLOCKS => Wanted::Blocks,
            (Some(format), None) => Table::of_format(format).map_or(Wanted::Other, Wanted::Table),
            _ => Wanted::Other,
        }
    }

    /// `None` for any.
    fn table(&self, place: &str) -> Outcome<Option<&'static Table>> {
        match self {
            Wanted::Any => Ok(None),
            Wanted::Table(table) => Ok(Some(*table)),
            Wanted::Blocks | Wanted::Other => Err(Failure::could_not(format!(
                "{place} is a database: name the table with --from ({AUTO}, {})",
                known_tables()
            ))),
        }
    }
}

fn known_tables() -> String {
    Table::all().map(Table::format).collect::<Vec<_>>().join(", ")
}

fn open(path: &PathBuf, wanted: &Wanted, blocks: &AllBlocks) -> Outcome<Input> {
    if let Some(url) = path.to_str().filter(|text| is_url(text)) {
        let (name, table, reader) = database::open(url, wanted.table("what is at the URL")?)?;
        return Ok(Input {
            name: name.into(),
            reader,
            written: None,
            mapping: Mapping::builtin(table.format()),
            told: None,
        });
    }
    if path.to_str().is_some_and(|text| text.contains("://") && !path.exists()) {
        // Not shown: it may hold a password.
        return Err(Failure::could_not(
            "only postgres://… can be imported from by URL: give a dump, or a file",
        ));
    }
    let name: Rc<str> = path.display().to_string().into();
    if path == Path::new("-") {
        let reader = Box::new(BufReader::new(std::io::stdin()));
        let written = timestamp(SystemTime::now());
        return look_inside(Input { name, reader, written, mapping: None, told: None }, None, wanted, blocks);
    }
    let file = input::open(path)?;
    let data = file.metadata().ok();
    let bar = progress::bytes("importing", data.as_ref().map_or(0, std::fs::Metadata::len));
    let written = data.and_then(|data| data.modified().ok()).and_then(timestamp);
    let reader = Box::new(BufReader::with_capacity(1 << 18, bar.wrap_read(file)));
    look_inside(Input { name, reader, written, mapping: None, told: None }, Some(path), wanted, blocks)
}

fn is_url(text: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Opens what holds rows rather than records: a file of SQLite, a dump.
fn look_inside(mut input: Input, path: Option<&Path>, wanted: &Wanted, blocks: &AllBlocks) -> Outcome<Input> {
    // What comes through a pipe may have to be waited for, and nothing that is only in a file is in it.
    if path.is_none() && matches!(wanted, Wanted::Other) {
        return Ok(input);
    }
    let name = input.name.clone();
    let failed = |error| Failure::could_not(format!("could not read {name}: {error}"));
    let mut head = input.reader.fill_buf().map_err(failed)?;
    if matches!(wanted, Wanted::Table(_)) && head.starts_with(&[0x1f, 0x8b]) {
        let unpacked = flate2::bufread::MultiGzDecoder::new(input.reader);
        input.reader = Box::new(BufReader::with_capacity(1 << 18, unpacked));
        // What is no good gzip after all is told of when it is read.
        head = input.reader.fill_buf().unwrap_or_default();
    }
    if head.starts_with(sqlite::MAGIC) {
        let Some(path) = path else {
            return Err(Failure::could_not("standard input is a file of SQLite: give its name"));
        };
        let (table, reader) = sqlite::open(path, wanted.table(&name)?)?;
        return Ok(Input { reader, mapping: Mapping::builtin(table.format()), ..input });
    }
    if head.starts_with(b"PGDMP") {
        return Err(Failure::could_not(format!(
            "{name} is a dump in PostgreSQL's own format: make it plain with `pg_restore -f - {name} | trailseal import --from \
             TABLE -`"
        )));
    }
    if matches!(wanted, Wanted::Any | Wanted::Blocks) && Blocks::is_block(head) {
        let (lines, told) = blocks.lines(input.reader, path);
        return Ok(Input {
            reader: Box::new(lines),
            mapping: Mapping::builtin(BLOCKS),
            told: Some(told),
            ..input
        });
    }
    let is_dump = DumpLines::<&[u8]>::is_dump(head);
    match wanted {
        Wanted::Table(table) if is_dump => {
            input.reader = Box::new(DumpLines::new(input.reader, table));
            input.mapping = Mapping::builtin(table.format());
            Ok(input)
        }
        Wanted::Any if is_dump && is_certainly_dump(head) => Err(Failure::could_not(format!(
            "{name} is a dump: name the table to read from it with --from ({})",
            known_tables()
        ))),
        _ => Ok(input),
    }
}

fn is_certainly_dump(head: &[u8]) -> bool {
    let head = &head[..head.len().min(400)];
    let has = |text: &[u8]| memchr::memmem::find(head, text).is_some();
    has(b"PostgreSQL database dump") || has(b"BEGIN TRANSACTION;") || has(b"\nCOPY ") || has(b"INSERT INTO ")
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(i64::try_from(since.as_micros()).ok()?))
}
