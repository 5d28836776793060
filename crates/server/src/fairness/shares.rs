//! What clients share: the room for large bodies, and the places for requests, exports and streams.
//!
//! What must hold: no client can take all of it, so a greedy or slow one does not keep the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::client::Client;

/// A client may take this fraction of what is shared, so that even several greedy ones leave something.
const PART: usize = 4;

/// A limited amount of something, and who has taken how much of it.
pub(crate) struct Shares {
    most: usize,
    /// The maximum per client.
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<Client, usize>,
}

/// What was taken for one purpose, released on drop.
pub(crate) struct Share {
    shares: Arc<Shares>,
    client: Client,
    taken: usize,
}

/// Why nothing more can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The client has used up its share.
    OfClient,
    /// Everything is taken.
    Whole,
}

impl Shares {
    /// A client may have a quarter of `most`, or `least` if that is more.
    pub(crate) fn new(most: usize, least: usize) -> Arc<Shares> {
        Shares::with((most / PART).max(least), most)
    }

    /// A client may have `each` of `most`.
    pub(crate) fn with(each: usize, most: usize) -> Arc<Shares> {
        Arc::new(Shares { most, each: each.min(most), taken: Mutex::default() })
    }

    /// How much is taken now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// An empty share for `client`.
    pub(crate) fn begin(self: &Arc<Self>, client: Client) -> Share {
        Share { shares: self.clone(), client, taken: 0 }
    }
}

impl Share {
    /// Takes `more`, or nothing.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Full> {
        if more == 0 {
            return Ok(());
        }
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = taken.by.get(&self.client).map_or(0, |of_client| *of_client);
        if taken.all + more > self.shares.most {
            return Err(Full::Whole);
        }
        if of_client + more > self.shares.each && !cfg!(trailseal_fault = "share_not_counted") {
            return Err(Full::OfClient);
        }
        taken.by.insert(self.client.clone(), of_client + more);
        taken.all += more;
        self.taken += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.taken == 0 {
            return;
        }
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= self.taken;
        if let Some(of_client) = taken.by.get_mut(&self.client) {
            *of_client -= self.taken;
            if *of_client == 0 {
                taken.by.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_part_and_nobody_is_remembered() {
        let shares = Shares::new(8, 3);
        let client = |name: &str| Client::Token(name.into());
        let take = |name: &str, amount| {
            let mut share = shares.begin(client(name));
            share.grow(amount).map(|()| share)
        };
        let one = take("one", 2);
        assert!(one.is_ok());
        assert_eq!(take("one", 2).err(), Some(Full::OfClient));
        let others = [take("two", 3), take("three", 3)];
        assert_eq!(take("four", 1).err(), Some(Full::Whole));
        assert_eq!(shares.taken(), 8);
        drop((one, others));
        assert!(take("one", 3).is_ok());
        assert_eq!(shares.taken(), 0);
        assert!(shares.taken.lock().is_ok_and(|taken| taken.by.is_empty()));
    }
}
