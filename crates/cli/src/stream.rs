//! The streams on Redis through which a trail is delivered.

use trailseal_core::{Trail, with_causes};
use trailseal_redis::{RedisSink, RedisUrl, Report, STORED_WITHIN_SECONDS};

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
        let sink = RedisSink::new(self.url.clone(), trail.origin()).named(&self.name);
        self.deliver(trail, sink, is_way_to_store)
    }

    fn deliver(&self, trail: &Trail, sink: RedisSink, is_way_to_store: bool) -> Outcome {
        let attached = match is_way_to_store {
            true => trail.deliver_to_store(Box::new(sink)),
            false => trail.deliver_to(Box::new(sink)),
        };
        attached.map_err(|error| {
            Failure::could_not(format!("could not start to deliver to {}: {error}", self.url))
        })
    }

    /// Delivers through it as [`attach`](Stream::attach) does, and waits until the store has what there is: what it lacks is not
    /// retired.
    pub(crate) fn catch_up(&self, trail: &Trail) -> Outcome {
        let sink = RedisSink::new(self.url.clone(), trail.origin()).named(&self.name).with_new_report();
        self.deliver(trail, sink, false)?;
        wait_caught_up(trail, &self.name);
        Ok(())
    }

    /// What is wrong with it, or with what workers report of a trail that ends at `end`.
    pub(crate) fn trouble(&self, origin: &str, end: u64) -> Option<Trouble> {
        let start = "start `trailseal worker`; until then events wait in the stream and in the trail";
        let (what, mend) = match Report::look(&self.url, origin) {
            Err(error) => (
                with_causes(&error),
                "start the server, or correct the url of the [[sink]]; until then events wait in the trail",
            ),
            Ok(Report { stopped: Some((_, what)), .. }) => {
                (what, "leave the trail and the store as they are, and run `trailseal verify --store`")
            }
            Ok(Report { failing: Some(why), .. }) => (
                format!("the workers at {} cannot store events: {why}", self.url),
                "mend what the reason says; until then events wait in the stream and in the trail",
            ),
            Ok(Report { position: None, .. }) => {
                (format!("no worker has reported on this trail at {}", self.url), start)
            }
            Ok(Report { position: Some(position), waits_seconds, .. })
                if waits_seconds >= STORED_WITHIN_SECONDS && position.cursor.get() < end =>
            {
                let events = crate::output::thousands(end - position.cursor.get());
                (format!("{events} events wait, and for {waits_seconds} s no worker has stored any"), start)
            }
            Ok(_) => return None,
        };
        Some(Trouble { what, mend })
    }
}

/// Takes the password out of a URL, so that it can be passed on where others do not see it. `None` if it has none.
pub(crate) fn without_password(url: &str) -> Option<(String, String)> {
    trailseal_redis::split_password(url)
}
