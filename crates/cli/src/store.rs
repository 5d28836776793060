//! The shared store on PostgreSQL that a command or a server delivers to.

use std::time::{Duration, Instant};

use trailseal_core::deliver::{DeliveryState, MustEnd, Position};
use trailseal_core::{Closed, KnownSink, Trail, with_causes};
use trailseal_postgres::{
    Problem, SINK_NAME, StoreError, StoreSink, StoreUrl, check_readable, leaf_at, position_of,
};
use trailseal_tlog::Hash;

use crate::failure::{Failure, Outcome};
use crate::output::tell;

/// A store that is far behind is waited for this long; the rest is retired another time.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(60);

/// A shared store. Nothing that it shows has its password.
#[derive(Clone, Debug)]
pub(crate) struct Store(StoreUrl);

impl Store {
    /// The store at this URL. The password counts if the URL has none. The error, a text, shows nothing of either.
    pub(crate) fn parse(url: &str, password: Option<&str>) -> Result<Store, String> {
        let mut url = StoreUrl::parse(url).map_err(|error| error.to_string())?;
        if let Some(password) = password {
            url.set_password(password);
        }
        Ok(Store(url))
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &StoreUrl {
        &self.0
    }

    /// Delivers the trail's events to it from now on; this is what level store waits for.
    pub(crate) fn attach(&self, trail: &Trail) -> Outcome {
        let sink = StoreSink::new(self.url().clone(), trail.origin());
        trail
            .deliver_to_store(Box::new(sink))
            .map_err(|error| Failure::could_not(format!("could not start to deliver to {}: {error}", self.0)))
    }

    /// Lets a server decide in it, together with others.
    pub(crate) fn share(&self, config: &mut trailseal_server::Config) {
        config.store = Some(self.0.clone());
    }

    /// Delivers to it as [`attach`](Store::attach) does, and waits until it has what there is: what it lacks is not retired.
    /// One that cannot be reached is left alone: it holds up what it did not have when it was last seen.
    pub(crate) fn catch_up(&self, trail: &Trail) -> Outcome {
        if let Err(Trouble { what, .. }) = self.position_of(trail.origin()) {
            tell(&format!(
                "notice: {what}; what is retired now goes from there at the next start that delivers to it"
            ));
            return Ok(());
        }
        self.attach(trail)?;
        wait_caught_up(trail, SINK_NAME);
        Ok(())
    }

    /// For a run that changes nothing: a real one first delivers what this store lacks, so it holds up nothing if it can be
    /// reached.
    pub(crate) fn would_catch_up(&self, origin: &str, sinks: &mut Vec<KnownSink>) {
        match self.position_of(origin) {
            Ok(_) => sinks.retain(|sink| sink.name != SINK_NAME),
            Err(Trouble { what, .. }) => {
                tell(&format!("notice: {what}; it holds up what it did not have when last seen"))
            }
        }
    }

    /// How far it has come with a trail.
    pub(crate) fn position_of(&self, origin: &str) -> Result<Position, Trouble> {
        let asked = || {
            let mut connection = self.0.connect(&MustEnd::default())?;
            check_readable(&mut connection)?;
            position_of(&mut connection, origin)
        };
        asked().map(Option::unwrap_or_default).map_err(|error| Trouble::of(&error))
    }

    /// The first event below `end` of which it has another leaf hash than `ours` gives, or `end` if there is none. Histories that have
    /// parted have nothing in common again, so few events need to be looked at. `None` if one of these cannot be compared.
    pub(crate) fn first_other(
        &self,
        origin: &str,
        end: u64,
        ours: &mut dyn FnMut(u64) -> Option<Hash>,
    ) -> Option<u64> {
        let mut connection = self.0.connect(&MustEnd::default()).ok()?;
        let (mut same, mut other) = (0, end);
        while same < other {
            let middle = same + (other - same) / 2;
            match leaf_at(&mut connection, origin, middle).ok()?? == ours(middle)? {
                true => same = middle + 1,
                false => other = middle,
            }
        }
        Some(other)
    }

    /// How many of the trail's events it does not have yet, in words; `None` if it has all.
    pub(crate) fn behind(closed: &Closed) -> Option<String> {
        let sink = closed.deliveries.iter().find(|sink| sink.name == SINK_NAME)?;
        let lag = crate::output::thousands(sink.lag_events);
        (sink.lag_events > 0).then(|| {
            format!("{lag} events are not in the store yet; the next start that delivers to it brings them")
        })
    }
}

/// Waits until a sink has what there is, or fails; but not for ever.
pub(crate) fn wait_caught_up(trail: &Trail, name: &str) {
    let end = Instant::now() + CATCH_UP_WITHIN;
    while Instant::now() < end {
        let stats = trail.stats();
        let sink = stats.deliveries.iter().find(|sink| sink.name == name);
        let waits = sink
            .is_some_and(|sink| sink.state == DeliveryState::Running && sink.cursor.get() < stats.durable);
        if !waits {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Why the store could not be asked, and how to mend that.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    pub(crate) mend: &'static str,
}

impl Trouble {
    fn of(error: &StoreError) -> Trouble {
        let what = with_causes(error);
        let mend = match error.problem() {
            Problem::Unreachable => {
                "start the server, or correct store.url; until then events wait in the trail"
            }
            Problem::Login => {
                "correct user and password in store.url and store.password, or let them in by pg_hba.conf"
            }
            Problem::Permission => "run what `trailseal store roles` prints, as the owner of the database",
            Problem::DiskFull => "make room on the server's disk; until then events wait in the trail",
            Problem::ReadOnly => "name the primary in store.url",
            Problem::Connections => {
                "allow more connections: by max_connections, or by the CONNECTION LIMIT of the user or the database; or put PgBouncer \
                 in front"
            }
            Problem::Schema => {
                "deliver to it once with a role that may create schemas; or put back what somebody removed or changed in its tables"
            }
            _ => "see the server's log; until then events wait in the trail",
        };
        Trouble { what, mend }
    }
}

/// Takes the password out of a URL, so that it can be passed on where others do not see it. `None` if it has none.
pub(crate) fn without_password(url: &str) -> Option<(String, String)> {
    trailseal_postgres::split_password(url)
}

/// What may be shown of a URL.
pub(crate) fn shown(url: &str) -> String {
    StoreUrl::parse(url).map_or_else(|_| "***".to_owned(), |url| url.shown().to_owned())
}
