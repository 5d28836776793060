//! The keys of personal values: whether they can be used, who may read them, and what the last opening said of them.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::file::StdFiles;
use trailseal_core::with_causes;
use trailseal_core::{KeyFileHeader, Options, Reader, open_personal_keys, personal_key_file};
use trailseal_event::Value;
use trailseal_event::filter::Filter;
use trailseal_index::{Order, Search};

/// How long the look for the last opening may take.
const BUDGET: Duration = Duration::from_secs(5);
/// How much of the file is read.
const HEADER_BYTES: u64 = 4_096;

/// What is wrong, or could be better.
pub(super) enum Finding {
    /// The file cannot be used, or is not the one that the trail knew.
    Unusable(String),
    /// Others may read it.
    Permissions(String),
    /// Whoever has the folder has the keys.
    Unwrapped(String),
}

pub(super) fn look(reader: &Reader, options: &Options, dir: &Path) -> Vec<Finding> {
    let root = reader.folder().root();
    let options = if root == dir { options.clone() } else { options.clone().of_slot(root) };
    let path = personal_key_file(reader.folder(), &options.personal);
    let mut findings = Vec::new();
    let said = last_opening(reader);
    findings.extend(said.as_ref().and_then(Said::trouble).map(Finding::Unusable));
    match open_personal_keys(reader.folder(), &options.personal) {
        Err(error) => findings.push(Finding::Unusable(with_causes(&error))),
        Ok(None) => {
            findings.extend(said.and_then(|said| said.missing(&path)).map(Finding::Unusable));
            return findings;
        }
        Ok(Some(_)) => findings.extend(said.and_then(|said| said.another(&path)).map(Finding::Unusable)),
    }
    if let Ok(data) = std::fs::metadata(&path)
        && data.mode() & 0o077 != 0
    {
        findings.push(Finding::Permissions(format!(
            "users other than its owner may access {} (mode {:o})",
            path.display(),
            data.mode() & 0o777
        )));
    }
    if options.personal.master.is_none() && path.starts_with(root) {
        findings.push(Finding::Unwrapped(format!(
            "the keys of personal values are in the trail's folder, {}, and no master key wraps them: every copy of the \
             folder that has the file can be read, also after an erasure",
            path.display()
        )));
    }
    findings
}

/// What the newest opening said of the file.
struct Said {
    index: u64,
    details: Value,
}

fn last_opening(reader: &Reader) -> Option<Said> {
    let filter = Filter { action: vec!["trail.opened".into()], system: true, ..Filter::default() };
    let mut search = Search::open(reader.folder().root(), Arc::new(StdFiles)).ok()?;
    let page = search.page(&filter, Order::NEWEST_RECORDED, None, 1, Some(BUDGET)).ok()?;
    let hit = page.hits.first()?;
    let opened = hit.read(None).ok()?;
    Some(Said { index: hit.index.get(), details: opened.event.details.get("personal")?.clone() })
}

impl Said {
    /// What was wrong then.
    fn trouble(&self) -> Option<String> {
        let trouble = self.details.get("trouble").and_then(Value::as_str).map(|trouble| match trouble {
            "lost" => "was missing: a new one was made, and what the old one sealed is unreadable",
            "damaged" => {
                "was damaged: it was put aside, a new one was made, and what the old one sealed is unreadable"
            }
            "another" => "was another than before: what that one sealed is unreadable",
            _ => "was older than the trail: what was sealed since then is unreadable",
        });
        let number = |name: &str| self.details.get(name).and_then(Value::as_u64).filter(|number| *number > 0);
        let what = match (trouble, number("damaged")) {
            (Some(trouble), _) => trouble.to_owned(),
            (None, Some(damaged)) => format!("had {damaged} damaged keys: what they sealed is unreadable"),
            (None, None) => return None,
        };
        Some(format!("event {} says that the key file of personal values {what}", self.index))
    }

    /// It had a file, and there is none.
    fn missing(&self, path: &Path) -> Option<String> {
        let file = self.details.get("file")?.as_str()?;
        let (path, index) = (path.display(), self.index);
        Some(format!(
            "{path} is missing, though event {index} says that the trail has keys of people ({file}): what they sealed is \
             unreadable"
        ))
    }

    /// There is a file, and it is another one.
    fn another(&self, path: &Path) -> Option<String> {
        let said = self.details.get("file")?.as_str()?;
        let mut bytes = Vec::new();
        std::fs::File::open(path).ok()?.take(HEADER_BYTES).read_to_end(&mut bytes).ok()?;
        let file = format!("{:08x}", KeyFileHeader::parse(&bytes)?.file);
        let (path, index) = (path.display(), self.index);
        let what = "what that one sealed is unreadable";
        (file != said).then(|| format!("{path} is another key file than event {index} says ({said}): {what}"))
    }
}
