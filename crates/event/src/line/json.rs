//! An event as the JSON text that a client would send, and from the line that the trail stored.

use super::fields::write_sent;
use super::parse_front;
use crate::event::{BadLine, Event, Out, Recorded};

impl Event {
    /// The event as a client would send it, for [`Event::from_json`] to read as the same event. That holds for an event
    /// of which nothing is `invalid` and no value nests below [`DEPTH_MAX`](crate::DEPTH_MAX) levels.
    ///
    /// ```
    /// use trailseal_event::Event;
    ///
    /// let event = Event::new("user.login").actor("u1").detail("attempt", 3);
    /// assert_eq!(Event::from_json(&event.to_json()), Ok(event));
    /// ```
    pub fn to_json(&self) -> Vec<u8> {
        Out::collect(|out| write_sent(self, out))
    }

    /// Reads a stored line.
    ///
    /// # Errors
    /// [`BadLine`] if it is not a line of a trail.
    pub fn from_line(line: &[u8]) -> Result<Recorded, BadLine> {
        let front = parse_front(line).ok_or(BadLine::NotALine)?;
        let (index, recorded, system) = (front.index, front.recorded, front.system);
        Recorded::read(Recorded { index, recorded, system, ..Recorded::default() }, line)
    }
}
