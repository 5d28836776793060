//! Foreign audit records into Trailseal events.
