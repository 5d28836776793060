//! What stands for the shared store in a build without it.

use trailseal_core::deliver::Position;
use trailseal_core::{Closed, KnownSink, Trail};
use trailseal_tlog::Hash;

use crate::failure::Outcome;

/// A shared store, of which this build has none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store {}

impl Store {
    pub(crate) fn parse(_url: &str, _password: Option<&str>) -> Result<Store, String> {
        Err("this trailseal was built without PostgreSQL: use one with the feature `postgres`".to_owned())
    }

    pub(crate) fn attach(&self, _trail: &Trail) -> Outcome {
        match *self {}
    }

    pub(crate) fn share(&self, _config: &mut trailseal_server::Config) {
        match *self {}
    }

    pub(crate) fn catch_up(&self, _trail: &Trail) -> Outcome {
        match *self {}
    }

    pub(crate) fn would_catch_up(&self, _origin: &str, _sinks: &mut Vec<KnownSink>) {
        match *self {}
    }

    pub(crate) fn position_of(&self, _origin: &str) -> Result<Position, Trouble> {
        match *self {}
    }

    pub(crate) fn first_other(
        &self,
        _origin: &str,
        _end: u64,
        _ours: &mut dyn FnMut(u64) -> Option<Hash>,
    ) -> Option<u64> {
        match *self {}
    }

    pub(crate) fn behind(_closed: &Closed) -> Option<String> {
        None
    }
}

/// Why the store could not be asked, and how to mend that.
pub(crate) struct Trouble {
    pub(crate) what: String,
    pub(crate) mend: &'static str,
}

pub(crate) fn without_password(_url: &str) -> Option<(String, String)> {
    None
}

pub(crate) fn shown(_url: &str) -> String {
    "***".to_owned()
}
