//! Which shared store a command uses.

use std::fmt;

use clap::Args;

/// The shared store.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StoreFlag {
    /// The shared store: postgres://USER@HOST/DATABASE, or `settings` for that of the settings
    #[arg(id = "store", long = "store", value_name = "URL")]
    pub(crate) url: Option<HiddenUrl>,
}

/// The database that has an outbox.
#[cfg(feature = "postgres")]
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OutboxFlag {
    /// The database with the outbox: postgres://USER@HOST/DATABASE [default: outbox.url of the settings]
    #[arg(id = "outbox", long = "outbox", value_name = "URL")]
    pub(crate) url: Option<HiddenUrl>,
}

/// A URL that may hold a password, so it is shown nowhere.
#[derive(Clone)]
pub(crate) struct HiddenUrl(pub(crate) String);

impl fmt::Debug for HiddenUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl From<String> for HiddenUrl {
    fn from(url: String) -> Self {
        HiddenUrl(url)
    }
}
