//! The names of the keys. The braces keep those of one origin together where keys are spread over servers.

/// The origins for which a worker has something to do.
pub(crate) const ORIGINS: &str = "trailseal:origins";

/// The keys of one origin.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) lines: String,
    pub(crate) checkpoints: String,
    pub(crate) stored: String,
    pub(crate) since: String,
    pub(crate) lease: String,
}

impl Keys {
    pub(crate) fn of(origin: &str) -> Keys {
        let key = |name: &str| format!("trailseal:{{{origin}}}:{name}");
        Keys {
            lines: key("lines"),
            checkpoints: key("checkpoints"),
            stored: key("stored"),
            since: key("since"),
            lease: key("lease"),
        }
    }
}
