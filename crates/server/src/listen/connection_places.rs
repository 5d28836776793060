//! Limits the connections per client, so that no client takes all of them.
//!
//! The address of the connection identifies the client: no head has been read yet that could say more. So a trusted
//! proxy, whose connections are those of many clients, is not counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::client::network_of;

/// Open connections by client.
#[derive(Default)]
pub(super) struct Places {
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place, released on drop.
pub(super) struct Place {
    places: Arc<Places>,
    client: IpAddr,
}

impl Places {
    /// A place for a connection from `address`; `None` if its client already has `most`.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Place> {
        let client = network_of(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(client).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_the_others_their_places() {
        let (places, one, other) =
            (Arc::default(), IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let take = |address| Places::take(&places, address, 2);
        let mut held = vec![take(one), take(one), take(other)];
        assert!(held.iter().all(Option::is_some));
        assert!(take(one).is_none());
        held.remove(0);
        assert!(take(one).is_some());
        drop(held);
        assert!(places.taken.lock().is_ok_and(|taken| taken.is_empty()), "nobody is remembered who is gone");
    }
}
