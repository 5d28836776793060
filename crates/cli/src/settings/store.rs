//! Which shared store is meant.

use super::given::Settings;
#[cfg(feature = "postgres")]
use crate::arguments::OutboxFlag;
use crate::arguments::{HiddenUrl, StoreFlag};
use crate::failure::{Failure, Outcome};
use crate::store::Store;

/// What the flag says for the store of the settings.
const OF_SETTINGS: &str = "settings";

impl Settings {
    /// The shared store: the flag's, or else that of the settings.
    pub(crate) fn store(&self, flag: &StoreFlag) -> Outcome<Option<Store>> {
        self.store_of("--store", flag.url.as_ref())
    }

    /// The shared store: that of the flag with this name, or else that of the settings.
    pub(crate) fn store_of(&self, flag: &str, url: Option<&HiddenUrl>) -> Outcome<Option<Store>> {
        let given = self.given.get("store.url").filter(|given| !given.value.is_empty());
        let named = url.map(|url| url.0.as_str());
        if named == Some(OF_SETTINGS) && given.is_none() {
            return Err(Failure::could_not(format!(
                "{flag} settings: the settings name no store: set store.url"
            )));
        }
        let (url, source) = match (named.filter(|url| *url != OF_SETTINGS), given) {
            (Some(url), _) => (url, flag),
            (None, Some(given)) => (given.value.as_str(), &*given.source),
            (None, None) => return Ok(None),
        };
        let password = self.given.get("store.password").map(|given| given.value.as_str());
        let store = Store::parse(url, password);
        store.map(Some).map_err(|what| Failure::could_not(format!("{source}: {what}")))
    }

    /// The database with the outbox: the flag's, or else that of the settings.
    #[cfg(feature = "postgres")]
    pub(crate) fn outbox(&self, flag: &OutboxFlag) -> Outcome<Option<Store>> {
        let given = self.given.get("outbox.url").filter(|given| !given.value.is_empty());
        let (url, source) = match (flag.url.as_ref(), given) {
            (Some(url), _) => (url.0.as_str(), "--outbox"),
            (None, Some(given)) => (given.value.as_str(), &*given.source),
            (None, None) => return Ok(None),
        };
        let password = self.given.get("outbox.password").map(|given| given.value.as_str());
        let outbox = Store::parse(url, password);
        outbox.map(Some).map_err(|what| Failure::could_not(format!("{source}: {what}")))
    }

    /// The database with the outbox of the settings.
    #[cfg(feature = "postgres")]
    pub(crate) fn own_outbox(&self) -> Outcome<Option<Store>> {
        self.outbox(&OutboxFlag::default())
    }

    /// The shared store of the settings.
    pub(crate) fn own_store(&self) -> Outcome<Option<Store>> {
        self.store(&StoreFlag::default())
    }
}

/// What may be shown of a secret setting.
pub(super) fn shown(name: &str, value: &str) -> String {
    match name {
        // A command may name the secret that it needs.
        "store.password" | "outbox.password" | "personal_keys.master_command" => "***".to_owned(),
        "store.url" | "outbox.url" => crate::store::shown(value),
        _ => value.to_owned(),
    }
}
