//! What stands for a shared store in a build without PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use trailseal_core::Trail;

use super::{Cursor, Events, News};
use crate::config::Config;
use crate::problem::Problem;
use crate::searches::Searches;

/// A shared store, of which this build has none.
pub(super) enum Stored {}

impl Stored {
    pub(super) fn of(_config: &Config, _trail: &Trail, _searches: &Arc<Searches>) -> Option<Stored> {
        None
    }

    pub(super) fn cursor(&self, _text: &str) -> Option<Cursor> {
        match *self {}
    }

    pub(super) fn search(&self, _given_up: &Arc<AtomicBool>) -> Result<Box<dyn Events>, Problem> {
        match *self {}
    }

    pub(super) fn news(&self) -> News {
        match *self {}
    }

    pub(super) fn not_stored(&self) -> u64 {
        match *self {}
    }

    pub(super) fn trouble(&self) -> Option<String> {
        match *self {}
    }
}
