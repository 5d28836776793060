//! `Trail.open`: from keywords to settings, and to the trail in a folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};
use trailseal_cli::application::{Application, Sources, Told};
use trailseal_core::Anchor;

use crate::failures;
use crate::json_values::json_of;
use crate::registry;
use crate::shared::{Folder, Shared, Temporary};

/// What `Trail.open` was given besides settings by name.
pub(crate) struct Opening<'py> {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) environment: bool,
    pub(crate) warms_up: bool,
    pub(crate) rules: Option<Bound<'py, PyAny>>,
    pub(crate) personal: Option<Bound<'py, PyAny>>,
    pub(crate) anchors: Option<Bound<'py, PyAny>>,
    pub(crate) settings: Option<Bound<'py, PyDict>>,
}

impl Opening<'_> {
    /// Opens the trail, or finds the one that this process has open there.
    pub(crate) fn open(self, py: Python<'_>, temporary: Option<Temporary>) -> PyResult<Arc<Shared>> {
        let mut sources = Sources {
            config: self.config,
            environment: self.environment,
            told: told(self.settings.as_ref())?,
            rules: rules_of(py, self.rules.as_ref(), self.personal.as_ref())?,
            anchors: self.anchors.map(|anchors| anchors_of(&anchors)).transpose()?.unwrap_or_default(),
        };
        if let Some(dir) = &self.dir {
            sources.told.push(("dir".to_owned(), Told::Text(path_text(dir)?)));
        }
        let application =
            Application::new(&sources).map_err(|trouble| failures::of_settings(py, &trouble))?;
        let dir = std::path::absolute(application.dir())?;
        let place = resolved(&dir);
        // However the folder was named, it is the same.
        sources.told.retain(|(name, _)| name != "dir");
        sources.told.push(("dir".to_owned(), Told::Text(path_text(&place)?)));
        // One with other settings may be another thread's that is about to fail: then it is in nobody's way.
        while let Some(other) = registry::find(&place)
            && *other.sources() != sources
            && !other.is_slots()
            && !other.is_inherited()
            && py.detach(|| other.open()).is_err()
        {
            registry::forget(&other);
        }
        let shared = match registry::find(&place) {
            Some(shared) => shared,
            None => {
                let shared = Shared::new(
                    Folder { dir, place },
                    sources.clone(),
                    application,
                    self.warms_up,
                    temporary,
                );
                let shared = shared.map_err(|trouble| failures::of_settings(py, &trouble))?;
                registry::find_or_add(Arc::new(shared))
            }
        };
        if *shared.sources() != sources {
            let text = format!(
                "{} is open in this process with other settings: open it once, and use that trail everywhere",
                shared.dir().display()
            );
            return Err(failures::exception(py, "OpenError", text));
        }
        // A slot is taken when it is needed: a parent that only forks would hold one for nothing. Whoever comes while
        // another thread opens it waits for that one.
        if !shared.is_inherited() && (!shared.is_slots() || self.warms_up) {
            let opened = py.detach(|| shared.open());
            opened.map_err(|error| error.into_error(py))?;
        }
        Ok(shared)
    }
}

/// The folder itself, whatever links lead to it; of a path that does not exist yet, as far as it exists.
fn resolved(dir: &Path) -> PathBuf {
    for existing in dir.ancestors() {
        if let Ok(resolved) = existing.canonicalize() {
            let rest = dir.strip_prefix(existing).unwrap_or(Path::new(""));
            // An empty rest would add a slash.
            return if rest.as_os_str().is_empty() { resolved } else { resolved.join(rest) };
        }
    }
    dir.to_owned()
}

fn path_text(path: &Path) -> PyResult<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        pyo3::exceptions::PyValueError::new_err(format!("{}: the path is not UTF-8", path.display()))
    })
}

/// Settings by name.
pub(crate) fn told(settings: Option<&Bound<'_, PyDict>>) -> PyResult<Vec<(String, Told)>> {
    let mut told = Vec::new();
    for (name, value) in settings.into_iter().flat_map(|settings| settings.iter()) {
        if !value.is_none() {
            let name: String = name.extract()?;
            // What the command line calls it.
            let name = if name == "store" { "store.url".to_owned() } else { name };
            told.push((name, told_of(&value)?));
        }
    }
    Ok(told)
}

fn told_of(value: &Bound<'_, PyAny>) -> PyResult<Told> {
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Told::Text(truth.is_true().to_string()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Told::Text(text.to_str()?.to_owned()));
    }
    if value.hasattr(intern!(value.py(), "__fspath__"))? {
        return Ok(Told::Text(path_text(&value.extract::<PathBuf>()?)?));
    }
    match value.try_iter() {
        Ok(texts) => {
            let texts: PyResult<Vec<String>> = texts.map(|text| text?.extract()).collect();
            Ok(Told::Texts(texts?))
        }
        Err(_) => Ok(Told::Text(value.str()?.to_str()?.to_owned())),
    }
}

/// The rules of a policy, and those of personal values, as TOML.
fn rules_of(
    py: Python<'_>,
    rules: Option<&Bound<'_, PyAny>>,
    personal: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<String>> {
    let mut tables = serde_json::Map::new();
    for (name, given) in [("rule", rules), ("personal", personal)] {
        let Some(given) = given else { continue };
        let given: Vec<Bound<'_, PyAny>> = given.try_iter()?.collect::<PyResult<_>>()?;
        let given: Vec<serde_json::Value> = given.iter().map(json_of).collect::<PyResult<_>>()?;
        tables.insert(name.to_owned(), given.into());
    }
    if tables.is_empty() {
        return Ok(None);
    }
    let text = toml::to_string(&tables);
    text.map(Some).map_err(|error| failures::exception(py, "SettingsError", format!("rules: {error}")))
}

fn anchors_of(anchors: &Bound<'_, PyAny>) -> PyResult<Vec<Anchor>> {
    let py = anchors.py();
    let mut all = Vec::new();
    for anchor in anchors.try_iter()? {
        let anchor = anchor?;
        let get = |name: &str| anchor.get_item(name).ok().and_then(|place| place.extract::<PathBuf>().ok());
        all.push(match (get("file"), get("command")) {
            (Some(file), None) => Anchor::File(file),
            (None, Some(command)) => Anchor::Command(path_text(&command)?),
            _ => {
                let text =
                    "an anchor has either `file` or `command`, such as {\"file\": \"/mnt/kept/checkpoints\"}";
                return Err(failures::exception(py, "SettingsError", text.to_owned()));
            }
        });
    }
    Ok(all)
}
