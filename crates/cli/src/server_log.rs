//! The server's log: one line of JSON on stderr per event. Repeated lines are folded into one with a count.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use trailseal_core::clock::{Clock as _, SystemClock};

/// A line is not written again for this long, only counted.
const FOLD: Duration = Duration::from_secs(60);
/// How many different lines are remembered.
const LINES_MAX: usize = 1_000;

/// Starts writing the log. A subscriber that is already set stays.
pub(crate) fn begin() {
    let subscriber = tracing_subscriber::registry().with(Log::default());
    // A second call in one process comes from a test.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[derive(Default)]
struct Log {
    /// When a line was last written, and how often it has come since.
    seen: Mutex<HashMap<String, (Instant, u64)>>,
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = *event.metadata().level();
        // The tracing of libraries does not belong in this log.
        if level > Level::INFO || !event.metadata().target().starts_with("trailseal") {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = level.as_str().to_ascii_lowercase();
        let Some(repeated) =
            self.fold(format!("{level} {}", Value::Object(fields.0.clone())), Instant::now())
        else {
            return;
        };
        let mut line = Map::new();
        line.insert("time".into(), SystemClock.now().to_string().into());
        line.insert("level".into(), level.into());
        line.extend(fields.0);
        if repeated > 0 {
            line.insert("repeated".into(), repeated.into());
        }
        let _ = writeln!(std::io::stderr(), "{}", Value::Object(line));
    }
}

impl Log {
    /// How often the line has come since it was last written; `None` if that was too recent.
    fn fold(&self, line: String, now: Instant) -> Option<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= LINES_MAX {
            seen.retain(|_, (at, _)| now.duration_since(*at) < FOLD);
        }
        let has_room = seen.len() < LINES_MAX;
        match seen.get_mut(&line) {
            Some((at, repeated)) if now.duration_since(*at) < FOLD => {
                *repeated += 1;
                None
            }
            Some(known) => Some(std::mem::replace(known, (now, 0)).1),
            None if has_room => {
                seen.insert(line, (now, 0));
                Some(0)
            }
            None => Some(0),
        }
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_lines_are_counted() {
        let log = Log::default();
        let begun = Instant::now();
        assert_eq!(log.fold("a".into(), begun), Some(0));
        assert_eq!(log.fold("a".into(), begun), None);
        assert_eq!(log.fold("b".into(), begun), Some(0));
        assert_eq!(log.fold("a".into(), begun + Duration::from_secs(1)), None);
        assert_eq!(log.fold("a".into(), begun + FOLD), Some(2));
        assert_eq!(log.fold("a".into(), begun + FOLD), None);
    }
}
