//! How events are recorded.

use std::time::Duration;

/// The level that a caller asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// In the handoff: survives a killed process, but not power loss.
    #[default]
    Accepted,
    /// On disk: survives power loss.
    Durable,
    /// In the store attached to the trail, such as the index. Without a store the event is kept, but unconfirmed as soon as
    /// it is on disk.
    Store,
}

/// How events are recorded: the level that they must reach, how long that may take, and whether their ids are looked up.
///
/// ```
/// use std::time::Duration;
/// use trailseal_core::{Ack, Options, RecordOptions, Status, Trail};
/// use trailseal_event::Event;
/// # let folder = tempfile::tempdir()?;
/// let trail = Trail::open(folder.path(), Options::default())?;
///
/// let durable = trail.with(Ack::Durable).record(&Event::new("key.rotate"))?;
/// assert_eq!(durable.status, Status::Durable);
///
/// let once = RecordOptions::new().ack(Ack::Durable).timeout(Duration::from_secs(2)).once();
/// let payment = Event::new("order.pay").id("order-42-paid");
/// assert_eq!(trail.with(once).record(&payment)?.status, Status::Durable);
/// assert_eq!(trail.with(once).record(&payment)?.status, Status::Repeated { retired: false });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordOptions {
    pub(super) ack: Ack,
    pub(in crate::trail) timeout: Option<Duration>,
    pub(in crate::trail) room_wait: Option<Duration>,
    pub(super) is_once: bool,
    pub(super) lingers: bool,
    ends_kept: bool,
}

impl RecordOptions {
    /// As the policy says.
    pub const fn new() -> RecordOptions {
        RecordOptions {
            ack: Ack::Accepted,
            timeout: None,
            room_wait: None,
            is_once: false,
            lingers: false,
            ends_kept: false,
        }
    }

    /// The level that events must reach at least. It can raise what the policy asks for, never lower it.
    #[must_use]
    pub const fn ack(mut self, ack: Ack) -> RecordOptions {
        self.ack = ack;
        self
    }

    /// How long reaching that level may take, instead of what the policy says.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> RecordOptions {
        self.timeout = Some(timeout);
        self
    }

    /// How long to wait for room in a full buffer. By default that is what the trail's options say; the async forms do not
    /// wait at all.
    #[must_use]
    pub const fn room_wait(mut self, room_wait: Duration) -> RecordOptions {
        self.room_wait = Some(room_wait);
        self
    }

    /// Looks up the id that the caller gave an event, so that a retry is safe: if its tenant already has an event with that
    /// id and the same content, nothing is added. Events without an id of their own are simply recorded.
    ///
    /// A look-up may read the trail, in the async forms too.
    #[must_use]
    pub const fn once(mut self) -> RecordOptions {
        self.is_once = true;
        self
    }

    /// Does not hurry the writer in the async forms: for callers that record many events and then wait for all of them.
    #[must_use]
    pub const fn linger(mut self) -> RecordOptions {
        self.lingers = true;
        self
    }

    /// For an event that says how an operation ended, whose beginning was kept with the outcome `unknown`: sampling keeps it,
    /// too. A rule that names that outcome sampled the beginning, and samples the end by the same correlation id.
    #[must_use]
    pub const fn ends_kept(mut self) -> RecordOptions {
        self.ends_kept = true;
        self
    }

    /// For a call that waits for room for as long as the trail does.
    pub(in crate::trail) fn how(&self, room_wait: Duration) -> How {
        How {
            ack: self.ack,
            timeout: self.timeout,
            room_wait: self.room_wait.unwrap_or(room_wait),
            ends_kept: self.ends_kept,
        }
    }
}

impl From<Ack> for RecordOptions {
    fn from(ack: Ack) -> Self {
        RecordOptions::new().ack(ack)
    }
}

/// What a caller asks for when it hands events in.
#[derive(Clone, Copy)]
pub(in crate::trail) struct How {
    pub(super) ack: Ack,
    /// Instead of the policy's.
    pub(in crate::trail) timeout: Option<Duration>,
    /// How long a full buffer is waited for.
    pub(in crate::trail) room_wait: Duration,
    /// As [`RecordOptions::ends_kept`].
    pub(super) ends_kept: bool,
}

impl How {
    /// The same, without waiting for room.
    pub(super) fn at_once(self) -> How {
        How { room_wait: Duration::ZERO, ..self }
    }
}
