//! For bindings to other languages: what the commands do, on a trail that the application has open, and with settings
//! that it gives.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser as _;
use trailseal_core::file::StdFiles;
use trailseal_core::{Anchor, Options, Trail};
use trailseal_event::personal::PersonalKeys;
use trailseal_event::policy::{Mode, Policy};
use trailseal_index::Search;
use trailseal_server::Config;

use crate::arguments::{Arguments, Command};
use crate::commands::{export, policy, prove, reading, verify, writing};
use crate::failure::{Failure, Outcome};
use crate::settings::Settings;
pub use trailseal_core::with_causes;

pub use crate::settings::Told;

/// Why something was not done, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Trouble {
    text: String,
    /// Whether that is the answer, as where an event is not there, and not a failure.
    pub is_answer: bool,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble { text: failure.text().to_owned(), is_answer: matches!(failure, Failure::No(_)) }
    }
}

/// Where settings come from, in this order; later ones win.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    /// A settings file.
    pub config: Option<PathBuf>,
    /// Whether the environment is read.
    pub environment: bool,
    /// Settings by name, with `.` or `_`.
    pub told: Vec<(String, Told)>,
    /// The policy's rules, as TOML `[[rule]]`.
    pub rules: Option<String>,
    /// Places outside the trail that receive each new checkpoint.
    pub anchors: Vec<Anchor>,
}

/// An application's settings, all of them checked.
#[derive(Clone, Debug)]
pub struct Application(Settings);

impl Application {
    /// Reads and checks the settings.
    ///
    /// # Errors
    /// When one is unknown or has a bad value.
    pub fn new(sources: &Sources) -> Result<Application, Trouble> {
        let Sources { config, environment, told, rules, anchors } = sources;
        let settings =
            Settings::told(config.as_deref(), *environment, told, rules.as_deref(), anchors.clone())?;
        Ok(Application(settings))
    }

    /// The trail's folder.
    pub fn dir(&self) -> PathBuf {
        self.0.dir()
    }

    /// How to open it.
    ///
    /// # Errors
    /// As [`new`](Application::new).
    pub fn options(&self) -> Result<Options, Trouble> {
        Ok(self.0.options()?)
    }

    /// The policy.
    ///
    /// # Errors
    /// As [`new`](Application::new).
    pub fn policy(&self) -> Result<Policy, Trouble> {
        Ok(self.0.policy()?)
    }

    /// What opens the personal values of all trails in the folder.
    ///
    /// # Errors
    /// When a key file, or the master key, cannot be used.
    pub fn personal_keys(&self) -> Result<Arc<dyn PersonalKeys>, Trouble> {
        Ok(Arc::new(reading::personal_keys(&self.0)?))
    }

    /// Whether each process takes a trail of its own.
    ///
    /// # Errors
    /// As [`new`](Application::new).
    pub fn uses_slots(&self) -> Result<bool, Trouble> {
        Ok(self.0.uses_slots()?)
    }

    /// The server's settings.
    ///
    /// # Errors
    /// As [`new`](Application::new).
    pub fn server_config(&self) -> Result<Config, Trouble> {
        Ok(self.0.server_config()?)
    }

    /// Lets the trail's events go into its index, unless the settings say not to, and into the shared store that they name.
    ///
    /// # Errors
    /// When no thread can be started. That the index cannot be written, or the store cannot be reached, is no error: then events
    /// are found by a scan, and delivered once it can be.
    pub fn attach(&self, trail: &Trail) -> Result<(), Trouble> {
        Ok(writing::deliver(&self.0, trail, self.0.own_store()?.as_ref())?)
    }

    /// With slots and a shared store, delivers those that no process holds, for as long as what it returns is kept.
    ///
    /// # Errors
    /// As [`attach`](Application::attach).
    #[cfg(feature = "postgres")]
    pub fn deliver_abandoned(
        &self,
        on_notice: trailseal_core::OnNotice,
    ) -> Result<Option<trailseal_postgres::AbandonedSlots>, Trouble> {
        Ok(writing::deliver_abandoned(&self.0, self.0.own_store()?.as_ref(), Some(on_notice))?)
    }

    /// Puts a mode in force for events that match no rule.
    ///
    /// # Errors
    /// When it cannot be recorded or kept, or needs a second person; then the old one stays.
    pub fn set_mode(&self, trail: &Trail, mode: &str, rate: Option<f64>) -> Result<(), Trouble> {
        let known = Mode::parse(mode).ok_or_else(|| {
            Failure::could_not(format!("unknown mode {mode:?}: use sync, async, sampled or off"))
        })?;
        let (mode, rate) = policy::with_rate(known, rate)?;
        Ok(policy::put_in_force(&self.0, trail, mode, rate)?)
    }

    /// Puts a policy in force, given as TOML.
    ///
    /// # Errors
    /// As [`set_mode`](Application::set_mode), and when it is no policy.
    pub fn set_policy(&self, trail: &Trail, toml: &str) -> Result<(), Trouble> {
        let wanted =
            Policy::from_toml(toml).map_err(|error| Failure::could_not(format!("the policy:{error}")))?;
        policy::may_replace(&self.0, &trail.policy(), &wanted)?;
        trail.set_policy(wanted).map_err(Failure::from)?;
        Ok(())
    }
}

/// All trails in the folder, for searching.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn search(dir: &Path) -> Result<Search, Trouble> {
    let search = Search::open(dir, Arc::new(StdFiles)).map_err(Failure::from)?;
    Ok(search)
}

/// Verifies the trail in a folder, or its slots; the verdict is what `trailseal verify --json` prints.
///
/// # Errors
/// When nothing can be said: a file cannot be read, or what was given is no key or checkpoint.
pub fn verify(dir: &Path, public_keys: &[String], checkpoints: &[String]) -> Result<String, Trouble> {
    let verdicts = verify::Verdicts::on(dir, verify::keys(public_keys)?, checkpoints)?;
    Ok(verdicts.to_json()?)
}

/// The proof that an event is in a trail, by its id, its index or `ORIGIN#INDEX`.
///
/// # Errors
/// When there is no such event, or it is not sealed yet.
pub fn prove(search: &mut Search, event: &str) -> Result<String, Trouble> {
    Ok(prove::proof(search, event)?.2)
}

/// Writes events to a file, and returns how many. `filters` are names and values as on the command line; `keys` open
/// personal values, which are otherwise not shown.
///
/// # Errors
/// When there is no such format or filter, or it cannot be written.
pub fn export(
    dir: &Path,
    out: &Path,
    format: &str,
    filters: &[(String, String)],
    keys: Option<Arc<dyn PersonalKeys>>,
) -> Result<u64, Trouble> {
    Ok(export_to(dir, out, format, filters, keys)?)
}

fn export_to(
    dir: &Path,
    out: &Path,
    format: &str,
    filters: &[(String, String)],
    keys: Option<Arc<dyn PersonalKeys>>,
) -> Outcome<u64> {
    let mut arguments = vec!["trailseal".into(), "export".into(), "--out".into(), out.as_os_str().to_owned()];
    arguments.push(format!("--format={format}").into());
    arguments.extend(filters.iter().map(|(name, value)| {
        let name = name.replace('_', "-");
        if matches!(&*name, "system" | "personal") {
            format!("--{name}").into()
        } else {
            format!("--{name}={value}").into()
        }
    }));
    let parsed = Arguments::try_parse_from(arguments);
    let parsed = parsed.map_err(|error| {
        let text = error.render().to_string();
        Failure::could_not(text.lines().next().unwrap_or_default().trim_start_matches("error: "))
    })?;
    let Command::Export(wanted) = parsed.command else {
        return Err(Failure::could_not("this is not an export"));
    };
    let told = [("dir".to_owned(), Told::Text(dir.display().to_string()))];
    let settings = Settings::told(None, false, &told, None, Vec::new())?;
    export::write(&settings, &wanted, keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, value: &str) -> Sources {
        Sources { told: vec![(name.to_owned(), Told::Text(value.to_owned()))], ..Sources::default() }
    }

    #[test]
    fn settings_are_told_by_name_with_a_dot_or_without() {
        for name in ["handoff.size", "handoff_size"] {
            let options = Application::new(&told(name, "2MiB")).unwrap().options().unwrap();
            assert_eq!(options.handoff.size_bytes, 2 << 20);
        }
        let keys = Told::Texts(vec!["iban".into(), "a, b".into()]);
        let sources = Sources { told: vec![("mask_keys".to_owned(), keys)], ..Sources::default() };
        assert_eq!(Application::new(&sources).unwrap().options().unwrap().mask.keys, ["iban", "a, b"]);
    }

    #[test]
    fn what_is_wrong_names_the_keyword() {
        for (name, value, wanted) in [
            ("mood", "x", "mood: there is no setting `mood`"),
            ("mode", "fast", "mode: `mode` cannot be \"fast\": use sync"),
            ("handoff_size", "big", "handoff_size: `handoff.size` cannot be \"big\""),
        ] {
            let error = Application::new(&told(name, value)).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
        let sources = Sources { rules: Some("[[rule]]\nmode = \"off\"".into()), ..Sources::default() };
        let error = Application::new(&sources).unwrap_err().to_string();
        assert!(error.contains("the rule has no `when`"), "{error}");
    }
}
