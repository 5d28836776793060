//! A trail's events in tracing.

use tracing::Dispatch;
use trailseal_core::deliver::{Batch, Position, Sink, SinkError};
use trailseal_event::Event;
use trailseal_event::{Index, line::parse_front};

use super::TARGET;
use crate::{Outcome, Severity, Trail};

/// From now on, shows every event of the trail in tracing, with the target [`TARGET`]: after masking, once it is on disk, in
/// the subscriber that is active here. The trail's own events are left out.
///
/// # Errors
/// When the trail is closed.
pub fn mirror(trail: &Trail) -> std::io::Result<()> {
    let dispatch = tracing::dispatcher::get_default(Dispatch::clone);
    let stats = trail.stats();
    let (cursor, from) = (Index::new(stats.durable), Index::new(stats.accepted));
    trail.deliver_to(Box::new(Mirror { dispatch, cursor, from }))
}

struct Mirror {
    dispatch: Dispatch,
    cursor: Index,
    /// What lies before was recorded before, and is not shown.
    from: Index,
}

impl Sink for Mirror {
    fn name(&self) -> &str {
        "tracing"
    }

    fn position(&mut self) -> Result<Position, SinkError> {
        // Nothing is kept of what was seen, so there is nothing to compare.
        Ok(Position { cursor: self.cursor, last_leaf: None })
    }

    /// It begins anew at each opening.
    fn needs_all(&self) -> bool {
        false
    }

    fn deliver(&mut self, batch: &Batch<'_>) -> Result<(), SinkError> {
        tracing::dispatcher::with_default(&self.dispatch, || {
            for line in batch.lines {
                if parse_front(line.bytes)
                    .is_some_and(|front| front.index >= self.from.get() && !front.system)
                {
                    show(line.bytes);
                }
            }
        });
        self.cursor = batch.end();
        Ok(())
    }
}

fn show(line: &[u8]) {
    let Ok(recorded) = Event::from_line(line) else { return };
    let event = &recorded.event;
    let text = String::from_utf8_lossy(line);
    let actor = event.actor.as_ref().and_then(|actor| actor.id.as_deref()).unwrap_or_default();
    let resource = event.resource.as_ref().map(|resource| {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        format!("{}/{}", part(&resource.kind), part(&resource.id))
    });
    let outcome = event.outcome.map(|outcome: Outcome| outcome.to_string()).unwrap_or_default();
    macro_rules! show_at {
        ($level:ident) => {
            tracing::event!(
                target: TARGET,
                tracing::Level::$level,
                index = recorded.index,
                action = event.action,
                actor,
                resource = resource.unwrap_or_default(),
                outcome,
                line = &*text,
            )
        };
    }
    match event.severity {
        Severity::Debug => show_at!(DEBUG),
        Severity::Info | Severity::Notice => show_at!(INFO),
        Severity::Warning => show_at!(WARN),
        Severity::Error | Severity::Critical => show_at!(ERROR),
    }
}
