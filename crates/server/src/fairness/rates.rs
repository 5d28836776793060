//! Limits the requests per client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::HeaderMap;

use crate::client::{Peer, client_address, network_of};
use crate::config::Config;

/// How many seconds' worth of requests may come at once.
const BURST_SECONDS: f64 = 2.0;
/// How many addresses are remembered: the most recent ones, and as many earlier ones.
const ADDRESSES_MAX: usize = 100_000;

/// What each address may still send.
#[derive(Default)]
pub(crate) struct Rates {
    addresses: Mutex<Addresses>,
}

/// The addresses that have been quiet for longest are forgotten first, half of all at a time: they most likely have
/// their full allowance again, like a newcomer.
#[derive(Default)]
struct Addresses {
    lately: HashMap<IpAddr, Left>,
    before: HashMap<IpAddr, Left>,
}

/// What was left at the last request.
#[derive(Clone, Copy)]
struct Left {
    requests: f64,
    at: Instant,
}

impl Rates {
    /// Whether this request is allowed; always, unless the settings limit it.
    pub(crate) fn allow(&self, config: &Config, peer: Option<&Peer>, headers: &HeaderMap) -> bool {
        match (config.requests_per_second, peer) {
            (0, _) | (_, None | Some(Peer::Owner)) => true,
            (limit, Some(Peer::Address(address))) => {
                let address = client_address(*address, headers, config);
                self.take(network_of(address), f64::from(limit), Instant::now())
            }
        }
    }

    fn take(&self, address: IpAddr, per_second: f64, now: Instant) -> bool {
        let most = (per_second * BURST_SECONDS).max(1.0);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let left = addresses.of(address, Left { requests: most, at: now });
        let gained = now.duration_since(left.at).as_secs_f64() * per_second;
        *left = Left { requests: (left.requests + gained).min(most), at: now };
        let has = left.requests >= 1.0;
        left.requests -= f64::from(u8::from(has));
        has
    }
}

impl Addresses {
    fn of(&mut self, address: IpAddr, new: Left) -> &mut Left {
        if self.lately.len() >= ADDRESSES_MAX / 2 && !self.lately.contains_key(&address) {
            self.before = std::mem::take(&mut self.lately);
        }
        let before = &mut self.before;
        self.lately.entry(address).or_insert_with(|| before.remove(&address).unwrap_or(new))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let (rates, one, other) =
            (Rates::default(), IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let now = Instant::now();
        assert_eq!((0..10).filter(|_| rates.take(one, 2.0, now)).count(), 4);
        assert!(rates.take(other, 2.0, now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..10).filter(|_| rates.take(one, 2.0, later)).count(), 2);
    }

    #[test]
    fn any_number_of_addresses_takes_bounded_memory_and_whoever_goes_on_stays_limited() {
        let (rates, greedy, now) = (Rates::default(), IpAddr::from([192, 0, 2, 1]), Instant::now());
        assert_eq!((0..10).filter(|_| rates.take(greedy, 2.0, now)).count(), 4);
        for number in 0..4 * ADDRESSES_MAX as u32 {
            assert!(rates.take(IpAddr::from((10 << 24 | number).to_be_bytes()), 2.0, now));
            if number.is_multiple_of(1_000) {
                assert!(!rates.take(greedy, 2.0, now), "{number}");
            }
        }
        let addresses = rates.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(addresses.lately.len() + addresses.before.len() <= ADDRESSES_MAX);
    }
}
