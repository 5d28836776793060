//! What Trailseal's tests share.
