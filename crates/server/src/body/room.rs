//! Limits the bytes of bodies held at a time by all requests together.
//!
//! What must hold: large bodies, however slowly they arrive, take a bounded part of the memory and never keep small
//! ones out. So the first bytes of each body are free: the number of connections bounds those.

use crate::fairness::{Full, Share};
use crate::problem::{Kind, Problem};

/// How many bytes of each body take no room.
pub(super) const FREE_BYTES: usize = 64 << 10;

/// What one body takes of the room, released on drop.
pub(crate) struct Held {
    share: Share,
    /// Bytes of the body so far.
    bytes: usize,
}

impl Held {
    pub(super) fn new(share: Share) -> Held {
        Held { share, bytes: 0 }
    }

    /// Takes room for more bytes.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let before = self.bytes.saturating_sub(FREE_BYTES);
        self.bytes += bytes;
        let after = self.bytes.saturating_sub(FREE_BYTES);
        self.share.grow(after - before).map_err(|full| match full {
            Full::Whole => Problem::unavailable("too many large bodies at once: send this again in a moment"),
            Full::OfClient => {
                let detail =
                    "you have too many large bodies in progress: send this again when one of them is done";
                Problem::new(Kind::Bodies, detail).retry_after(1)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::client::Client;
    use crate::fairness::Shares;

    #[test]
    fn small_bodies_always_have_room_and_large_ones_give_theirs_back() {
        let room = Shares::new(1_000, 1_000);
        let begin = |name: &str| Held::new(room.begin(Client::Token(name.into())));
        let mut large = begin("one");
        large.grow(FREE_BYTES + 600).unwrap();
        let mut second = begin("two");
        second.grow(FREE_BYTES).unwrap();
        assert!(second.grow(401).unwrap_err().is_refused());
        drop(second);
        assert_eq!(room.taken(), 600);
        begin("two").grow(FREE_BYTES + 400).unwrap();
        large.grow(400).unwrap();
        begin("two").grow(FREE_BYTES).unwrap();
        drop(large);
        assert_eq!(room.taken(), 0);
    }
}
