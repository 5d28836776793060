//! What stands for streams on Redis in a build without them.

use trailseal_core::Trail;

use crate::failure::Outcome;
use crate::store::Trouble;

/// Streams on Redis, of which this build has none.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    never: Never,
}

#[derive(Clone, Copy, Debug)]
enum Never {}

impl Stream {
    pub(crate) fn parse(_name: &str, _url: &str, _password: Option<&str>) -> Result<Stream, String> {
        Err("this trailseal was built without Redis: use one with the feature `redis`".to_owned())
    }

    pub(crate) fn shown(&self) -> String {
        match self.never {}
    }

    pub(crate) fn attach(&self, _trail: &Trail, _is_way_to_store: bool) -> Outcome {
        match self.never {}
    }

    pub(crate) fn catch_up(&self, _trail: &Trail) -> Outcome {
        match self.never {}
    }

    pub(crate) fn trouble(&self, _origin: &str, _end: u64) -> Option<Trouble> {
        match self.never {}
    }
}

pub(crate) fn without_password(_url: &str) -> Option<(String, String)> {
    None
}
