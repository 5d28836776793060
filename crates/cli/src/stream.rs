//! The streams on Redis through which a trail is delivered.

use trailseal_core::Trail;
use trailseal_redis::{RedisSink, RedisUrl, Report};

use crate::failure::{Failure, Outcome};
use crate::store::{Trouble, wait_caught_up};

/// The streams of one Redis server. Nothing that it shows has its password.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    url: RedisUrl,
}

impl Stream {
    /// The server at this URL. The password counts if the URL has none. The error, a text, shows nothing of either.
    pub(crate) fn parse(name: &str, url: &str, password: Option<&str>) -> Result<Stream, String> {
        let url = RedisUrl::parse(url, password).map_err(|error| error.to_string())?;
        Ok(Stream { name: name.to_owned(), url })
    }

    /// What may be shown of it.
    pub(crate) fn shown(&self) -> String {
        self.url.to_string()
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// Delivers the trail's events through it from now on. If it is the way to the store, level store waits for what workers
    /// report.
    pub(crate) fn attach(&self, trail: &Trail, is_way_to_store: bool) -> Outcome {
        let sink = Box::new(RedisSink::new(self.url.clone(), trail.origin()).named(&self.name));
        let attached = match is_way_to_store {
            true => trail.deliver_to_store(sink),
            false => trail.deliver_to(sink),
        };
        attached.map_err(|error| {
            Failure::could_not(format!("could not start to deliver to {}: {error}", self.url))
        })
    }

    /// Delivers through it as [`attach`](Stream::attach) does, and waits until the store has what there is: what it lacks is not
    /// retired.
    pub(crate) fn catch_up(&self, trail: &Trail) -> Outcome {
        self.attach(trail, false)?;
        wait_caught_up(trail, &self.name);
        Ok(())
    }

    /// What is wrong with it, or with what workers report of a trail.
    pub(crate) fn trouble(&self, origin: &str) -> Option<Trouble> {
        let (what, mend) = match Report::look(&self.url, origin) {
            Err(error) => (
                crate::failure::with_causes(&error),
                "start the server, or correct the url of the [[sink]]; until then events wait in the trail",
            ),
            Ok(None) => (
                format!("no worker has reported on this trail at {}", self.url),
                "start `trailseal worker`, and something that writes to the trail; until then events wait in the trail",
            ),
            Ok(Some(Report { stopped: Some((_, what)), .. })) => {
                (what, "leave the trail and the store as they are, and run `trailseal verify --store`")
            }
            Ok(Some(Report { failing: Some(why), .. })) => (
                format!("the workers at {} cannot store events: {why}", self.url),
                "mend what the reason says; until then events wait in the stream and in the trail",
            ),
            Ok(Some(_)) => return None,
        };
        Some(Trouble { what, mend })
    }
}

/// Takes the password out of a URL, so that it can be passed on where others do not see it. `None` if it has none.
pub(crate) fn without_password(url: &str) -> Option<(String, String)> {
    trailseal_redis::split_password(url)
}
