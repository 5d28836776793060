//! Settings: a TOML file, then environment, then flags. Each value remembers its source.

mod file;
mod given;
mod given_by_program;
mod mask;
mod personal;
mod retention;
mod server;
mod store;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use trailseal_core::{Anchor, Full, HandoffPlace, Options, Roll};
use trailseal_event::policy::{Acknowledge, Mode, OnFailure, Policy};
use trailseal_tlog::Origin;

use crate::arguments::Common;
use crate::failure::{Failure, Outcome};
use crate::stream::Stream;

pub(crate) use given::Settings;
use given::{a_path, milliseconds, size, unknown};
pub use given_by_program::Told;
pub(crate) use table::REDIS_PASSWORD;
use table::{ALSO_READ, DATABASE, KUBERNETES, NOT_SETTINGS, ONLY_IN_A_FILE, PREFIX, SETTINGS, STORAGE};

const DEFAULT_FILE: &str = "trailseal.toml";

/// For one-shot commands: creating a larger handoff would take longer than the command itself.
const ONE_SHOT_HANDOFF_BYTES: u64 = 4 << 20;

/// No handoff is smaller.
const HANDOFF_BYTES_MIN: u64 = 1 << 20;

/// The longest wait that a policy allows.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// A longer wait would only let a power loss take more.
const LINGER_MAX: Duration = Duration::from_millis(100);

impl Settings {
    /// Reads file, environment and flags.
    pub(crate) fn load(common: &Common) -> Outcome<Settings> {
        let mut settings = Settings { common: common.clone(), ..Settings::default() };
        match &common.config {
            Some(path) => file::read(path, &mut settings)?,
            None if Path::new(DEFAULT_FILE).exists() => file::read(Path::new(DEFAULT_FILE), &mut settings)?,
            None => {}
        }
        settings.read_environment(std::env::vars_os())?;
        if let Some(dir) = &common.dir {
            settings.give("dir", dir.display().to_string(), "--dir".into());
        }
        settings.options()?;
        Ok(settings)
    }

    /// The flags given on the command line.
    pub(crate) fn flags(&self) -> &Common {
        &self.common
    }

    /// Reads all of them again.
    pub(crate) fn reload(&self) -> Outcome<Settings> {
        Settings::load(&self.common)
    }

    /// The settings of one file alone.
    pub(crate) fn of_file(path: &Path) -> Outcome<Settings> {
        let mut settings = Settings::default();
        file::read(path, &mut settings)?;
        settings.options()?;
        Ok(settings)
    }

    fn read_environment(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) -> Outcome {
        let mut named = BTreeMap::new();
        for (variable, value) in variables {
            let Ok(variable) = variable.into_string() else { continue };
            let is_ours = variable.starts_with(PREFIX)
                || ALSO_READ.iter().any(|(name, _)| *name == variable)
                || [STORAGE, DATABASE].contains(&&*variable);
            if is_ours && !NOT_SETTINGS.contains(&variable.as_str()) {
                let value = value.into_string();
                let value = value
                    .map_err(|_| Failure::could_not(format!("{variable} is not UTF-8: set it again")))?;
                named.insert(variable, value);
            }
        }
        for (variable, name) in ALSO_READ {
            if let Some(value) = named.remove(variable) {
                self.give(name, value, variable.to_owned());
            }
        }
        let (storage, database) = (named.remove(STORAGE), named.remove(DATABASE));
        match (storage.as_deref(), database) {
            (Some("database"), Some(url)) => self.give("store.url", url, DATABASE.to_owned()),
            (Some("database"), None) => {
                return Err(Failure::could_not(format!(
                    "{STORAGE} is database, so set {DATABASE} to postgres://USER@HOST/DATABASE"
                )));
            }
            // Other programs may use that database for something else.
            (None | Some("" | "file"), _) => {}
            (Some(other), _) => {
                return Err(Failure::could_not(format!(
                    "{STORAGE} cannot be {other:?}: use file or database"
                )));
            }
        }
        for (variable, value) in named {
            let name = variable[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
            if KUBERNETES.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            match SETTINGS.iter().find(|setting| setting.name == name && !ONLY_IN_A_FILE.contains(&&*name)) {
                Some(setting) => self.give(setting.name, value, variable),
                None if ONLY_IN_A_FILE.contains(&&*name) => {
                    return Err(Failure::could_not(format!(
                        "{variable}: `{name}` is set in a file, as tables: leave the variable out, and write [[{name}]] there"
                    )));
                }
                None => return Err(unknown(&variable, &name)),
            }
        }
        Ok(())
    }

    /// The trail's folder.
    pub(crate) fn dir(&self) -> PathBuf {
        self.given.get("dir").map_or_else(|| PathBuf::from("trail"), |given| PathBuf::from(&given.value))
    }

    /// Whether the size of the handoff was chosen.
    pub(crate) fn sets_handoff_size(&self) -> bool {
        self.given.contains_key("handoff.size")
    }

    /// Options for a command that writes and then ends.
    pub(crate) fn one_shot_options(&self) -> Outcome<Options> {
        let mut options = self.options()?;
        options.one_shot = true;
        if !self.sets_handoff_size() {
            options.handoff.size_bytes = ONE_SHOT_HANDOFF_BYTES;
        }
        // Such a command reads as fast as the disk writes; a full handoff is no reason to refuse its input.
        options.handoff.timeout = options.handoff.timeout.max(Duration::from_secs(30));
        Ok(options)
    }

    /// Options for a trail that stays open.
    pub(crate) fn options(&self) -> Outcome<Options> {
        let mut options = Options::default();
        options.origin = self.parsed("origin", |value| Origin::new(value).ok().map(|_| value.to_owned()))?;
        options.key_file = self.parsed("key_file", a_path)?;
        self.parsed("dir", a_path)?;
        options.disk_reserve_bytes = self.parsed("disk_reserve", size)?;
        options.policy = self.policy()?;
        options.mask = self.mask_options()?;
        options.personal = self.personal_keys()?;
        self.uses_index()?;
        self.uses_slots()?;
        self.set("allow_network_file_system", &mut options.allow_network_file_system, |value| {
            value.parse().ok()
        })?;
        self.set("handoff.path", &mut options.handoff.place, |value| a_path(value).map(HandoffPlace::File))?;
        self.set("handoff.size", &mut options.handoff.size_bytes, |value| {
            size(value).filter(|bytes| *bytes >= HANDOFF_BYTES_MIN)
        })?;
        self.set("handoff.full", &mut options.handoff.full, |value| match value {
            "block" => Some(Full::Block),
            "refuse" => Some(Full::Refuse),
            _ => None,
        })?;
        self.set("handoff.timeout_ms", &mut options.handoff.timeout, milliseconds)?;
        self.set("segment.roll", &mut options.segment.roll, |value| match value {
            "hour" => Some(Roll::Hour),
            "day" => Some(Roll::Day),
            "never" => Some(Roll::Never),
            other => size(other).filter(|bytes| *bytes > 0).map(Roll::Bytes),
        })?;
        self.set("segment.compress", &mut options.segment.compress, |value| value.parse().ok())?;
        self.set("commit.linger_ms", &mut options.linger, |value| {
            milliseconds(value).filter(|linger| *linger <= LINGER_MAX)
        })?;
        self.set("seal.every_ms", &mut options.seal_every, milliseconds)?;
        self.set("create", &mut options.create, |value| value.parse().ok())?;
        options.witnesses = Some(Arc::new(trailseal_index::witnesses));
        options.anchors.clone_from(&self.anchors);
        self.server_config()?;
        self.own_store()?;
        #[cfg(feature = "postgres")]
        self.own_outbox()?;
        Ok(options)
    }

    /// The policy in these settings; the trail's folder may override it.
    pub(crate) fn policy(&self) -> Outcome<Policy> {
        let mut policy = Policy::default();
        (policy.rules, policy.personal) = (self.rules.clone(), self.personal.clone());
        let then = &mut policy.otherwise;
        self.set("mode", &mut then.mode, Mode::parse)?;
        self.set("rate", &mut then.rate, |value| {
            value.parse().ok().filter(|rate| (0.0..=1.0).contains(rate))
        })?;
        self.set("timeout_ms", &mut then.timeout, |value| {
            milliseconds(value).filter(|timeout| *timeout <= TIMEOUT_MAX)
        })?;
        self.set("on_failure", &mut then.on_failure, OnFailure::parse)?;
        self.set("acknowledge", &mut then.acknowledge, Acknowledge::parse)?;
        let source = |name: &str| self.given.get(name).map_or("settings", |given| &*given.source);
        // A mode from the environment also replaces the file's other values for that mode.
        let is_of_other_mode =
            |name: &str| self.is_from_environment("mode") && !self.is_from_environment(name);
        match (then.mode, self.given.contains_key("rate")) {
            (Mode::Sampled, false) => Err(Failure::could_not(format!(
                "{}: mode sampled needs a `rate`, such as 0.1",
                source("mode")
            ))),
            (Mode::Sampled, true) | (_, false) => Ok(()),
            // Some applications always set it, and mean it only for mode sampled.
            (_, true) if source("rate") == "AUDIT_SAMPLE_RATE" || is_of_other_mode("rate") => {
                then.rate = 1.0;
                Ok(())
            }
            (_, true) => Err(Failure::could_not(format!("{}: a `rate` needs mode sampled", source("rate")))),
        }?;
        if then.acknowledge == Acknowledge::Store && then.mode != Mode::Sync {
            if is_of_other_mode("acknowledge") {
                then.acknowledge = Acknowledge::Durable;
                return Ok(policy);
            }
            let source = source("acknowledge");
            return Err(Failure::could_not(format!("{source}: acknowledge store needs mode sync")));
        }
        Ok(policy)
    }

    fn is_from_environment(&self, name: &str) -> bool {
        // A place in a file already has line and column.
        self.given.get(name).is_some_and(|given| !given.source.contains(':'))
    }

    /// The streams on Redis that events are delivered through.
    pub(crate) fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Where the policy comes from, for people.
    pub(crate) fn policy_source(&self) -> String {
        let names = ["mode", "rate", "timeout_ms", "on_failure", "acknowledge"];
        let mut sources: Vec<&str> =
            names.iter().filter_map(|name| self.given.get(name)).map(|given| &*given.source).collect();
        if !self.rules.is_empty() {
            sources.push(&self.rules_source);
        }
        if !self.personal.is_empty() {
            sources.push(&self.personal_source);
        }
        if sources.is_empty() { "default".to_owned() } else { sources.join(", ") }
    }

    /// Whether to maintain the embedded index.
    pub(crate) fn uses_index(&self) -> Outcome<bool> {
        Ok(self.parsed("index.enabled", |value| value.parse().ok())?.unwrap_or(true))
    }

    /// Whether each process takes a slot of the folder.
    pub(crate) fn uses_slots(&self) -> Outcome<bool> {
        let parse = |value: &str| match value {
            "one" => Some(false),
            "slots" => Some(true),
            _ => None,
        };
        Ok(self.parsed("workers", parse)?.unwrap_or(false))
    }

    /// Every setting with its value and source.
    pub(crate) fn table(&self) -> Vec<(String, String, String)> {
        let mut rows: Vec<_> = SETTINGS
            .iter()
            .filter(|setting| !ONLY_IN_A_FILE.contains(&setting.name))
            .map(|setting| match self.given.get(setting.name) {
                Some(given) => {
                    (setting.name.to_owned(), store::shown(setting.name, &given.value), given.source.clone())
                }
                None => (setting.name.to_owned(), setting.default.to_owned(), "default".to_owned()),
            })
            .collect();
        rows.extend(self.rules.iter().map(|rule| {
            let mut policy = Policy::default();
            policy.rules = vec![rule.clone()];
            ("rule".to_owned(), only_table(&policy, "[[rule]]"), self.rules_source.clone())
        }));
        rows.extend(self.personal.iter().map(|rule| {
            let mut policy = Policy::default();
            policy.personal = vec![rule.clone()];
            ("personal".to_owned(), only_table(&policy, "[[personal]]"), self.personal_source.clone())
        }));
        rows.extend(self.streams.iter().map(|stream| {
            let shown = format!("{}: redis {}", stream.name, stream.shown());
            ("sink".to_owned(), shown, "settings file".to_owned())
        }));
        rows.extend(self.anchors.iter().map(|anchor| match anchor {
            Anchor::File(path) => {
                ("anchor".to_owned(), format!("file {}", path.display()), "settings file".to_owned())
            }
            // Its text may hold a secret.
            Anchor::Command(_) => ("anchor".to_owned(), "command ***".to_owned(), "settings file".to_owned()),
        }));
        rows
    }
}

/// The lines of the one table of a policy that is called `header`, in one line.
fn only_table(policy: &Policy, header: &str) -> String {
    let text = policy.to_toml();
    let lines: Vec<&str> = text.lines().skip_while(|line| *line != header).skip(1).collect();
    lines.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, text).unwrap();
        let mut settings = Settings::default();
        let read = super::file::read(&path, &mut settings).and_then(|()| settings.options().map(drop));
        let shown = path.display().to_string();
        read.map(|()| settings).map_err(|failure| match failure {
            Failure::CouldNot(text) => text.replace(&shown, "t.toml"),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let settings = file(
            "mode = \"sync\"\ndisk_reserve = \"1MiB\"\n[handoff]\nsize = \"2MiB\"\nfull = \"refuse\"\n\
             [segment]\nroll = \"day\"\ncompress = true\n[seal]\nevery_ms = 10\n[[anchor]]\nfile = \"a\"\n",
        )
        .unwrap();
        let options = settings.options().unwrap();
        assert_eq!(options.policy, Policy::of_mode(Mode::Sync));
        assert_eq!(options.disk_reserve_bytes, Some(1 << 20));
        assert_eq!((options.handoff.size_bytes, options.handoff.full), (2 << 20, Full::Refuse));
        assert_eq!((options.segment.roll, options.segment.compress), (Roll::Day, true));
        assert_eq!(options.seal_every, Duration::from_millis(10));
        assert_eq!(options.anchors, [Anchor::File("a".into())]);
    }

    #[test]
    fn errors_name_the_place_and_what_is_allowed() {
        for (text, wanted) in [
            ("mode = \"fast\"\n", "t.toml:1:8: `mode` cannot be \"fast\": use sync, async, sampled or off"),
            (
                "\n[handoff]\n  sise = 3\n",
                "t.toml:3:3: there is no setting `handoff.sise`: did you mean `handoff.size`?",
            ),
            ("[handoff]\nsize = \"big\"\n", "t.toml:2:8: `handoff.size` cannot be \"big\": use a size"),
            ("mode = \n", "t.toml:1:"),
            (
                "[[anchor]]\nfle = \"x\"\n",
                "t.toml:2:1: there is no setting `anchor.fle`: an [[anchor]] has either",
            ),
            (
                "[[anchor]]\nfile = \"x\"\n command = \"y\"",
                "t.toml:1:1: two places in one entry: an [[anchor]]",
            ),
            ("[anchor]\nfile = \"x\"\n", "t.toml:1:1: `anchor` cannot be \"table\": use tables [[anchor]]"),
            ("handoff.size = 5\nhandoff.szie = 6", "t.toml:2:9: there is no setting `handoff.szie`"),
            ("handoff = { full = \"maybe\" }", "t.toml:1:20: `handoff.full` cannot be \"maybe\": use block"),
            ("# é\nsegment = { compress = 3.5 }", "t.toml:2:24: `segment.compress` cannot be \"float\""),
            ("origin = \"two words\"", "t.toml:1:10: `origin` cannot be \"two words\": use a name such as"),
            ("dir = \"\"", "t.toml:1:7: `dir` cannot be \"\": use a folder"),
            ("[shop]\nurl = 1", "t.toml:1:2: there is no setting `shop`"),
            ("[store]\nurl = 1", "t.toml:2:7: the store's URL cannot be used: write postgres://"),
            ("[handof]\nsize = 1", "t.toml:1:2: there is no setting `handof`: did you mean `handoff`?"),
            (
                "disk_reserv = 1",
                "t.toml:1:1: there is no setting `disk_reserv`: did you mean `disk_reserve`?",
            ),
            ("listen = 1", "t.toml:1:1: there is no setting `listen`: did you mean `server.listen`?"),
            ("xy = 1", "t.toml:1:1: there is no setting `xy`: `trailseal doctor` lists them"),
            ("[server]\nlisten = 1", "t.toml:2:10: `server.listen` cannot be \"1\": use an address"),
            (
                "[server]\ntrusted_proxies = [\"10/8\"]",
                "t.toml:2:20: `server.trusted_proxies`: \"10/8\" is not a network",
            ),
            (
                "server.frame_ancestors = [\"a; b\"]",
                "t.toml:1:27: `server.frame_ancestors`: \"a; b\" is not a site",
            ),
            ("server.tls_cert = \"x.pem\"", "server.tls_cert also needs server.tls_key"),
            ("mode = \"sync\"\nmode = \"async\"", "t.toml:2:1: duplicate key"),
            ("mode = \"sampled\"", "t.toml:1:8: mode sampled needs a `rate`"),
            ("rate = 0.1", "t.toml:1:8: a `rate` needs mode sampled"),
            ("mode = \"sampled\"\nrate = 2", "t.toml:2:8: `rate` cannot be \"2\": use a number"),
            ("acknowledge = \"store\"", "t.toml:1:15: acknowledge store needs mode sync"),
            (
                "dir = \"x\"\n[[rule]]\nwhen = { acton = \"x\" }",
                "t.toml:3:10: there is no setting `when.acton`",
            ),
            ("[[rule]]\nmode = \"off\"", "t.toml:1:1: the rule has no `when`"),
            ("workers = \"many\"", "t.toml:1:11: `workers` cannot be \"many\": use one or slots"),
            ("[index]\nenabled = 3", "t.toml:2:11: `index.enabled` cannot be \"3\": use true or false"),
        ] {
            let error = file(text).unwrap_err();
            assert!(error.starts_with(wanted), "{error}");
        }
    }

    #[test]
    fn the_environment_overrides_and_unknown_names_stop() {
        let settings = file("mode = \"async\"\n").unwrap();
        let given = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.into(), value.into())).collect();
            let mut settings = settings.clone();
            settings.read_environment(pairs.into_iter()).map(|()| settings)
        };
        let options = given(&[
            ("TRAILSEAL_MODE", "sync"),
            ("TRAILSEAL_HANDOFF__SIZE", "3MiB"),
            ("AUDIT_MODE", "async"),
            ("OTHER", "x"),
            ("TRAILSEAL_PORT", "tcp://10.0.0.1:80"),
        ]);
        let options = options.unwrap().options().unwrap();
        assert_eq!((options.policy.otherwise.mode, options.handoff.size_bytes), (Mode::Sync, 3 << 20));
        assert_eq!(given(&[("AUDIT_LOG_PATH", "/a")]).unwrap().dir(), Path::new("/a"));
        assert!(given(&[("TRAILSEAL_MOOD", "x")]).is_err());
        assert!(given(&[("TRAILSEAL_MODE", "")]).unwrap().options().is_err());
    }

    #[test]
    fn sizes_have_units() {
        for (text, wanted) in [
            ("64MiB", Some(64 << 20)),
            ("1 GiB", Some(1 << 30)),
            ("512", Some(512)),
            ("10MB", Some(10_000_000)),
            ("MiB", None),
            ("-1MiB", None),
            ("1.5GiB", None),
            ("99999999999GiB", None),
            ("", None),
        ] {
            assert_eq!(size(text), wanted, "{text}");
        }
    }
}
