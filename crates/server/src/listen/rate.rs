//! How many requests one client address may make.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::HeaderMap;

use super::client_address::client_address;
use super::places::client;
use crate::access::Peer;
use crate::app::Shared;

/// Seconds of requests that may come at once.
const BURST_SECONDS: f64 = 2.0;
/// Addresses that are remembered. Then those that have been quiet are forgotten.
const ADDRESSES_MAX: usize = 100_000;

/// What each address may still ask.
#[derive(Default)]
pub(crate) struct Rates {
    left: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

impl Rates {
    fn take(&self, address: IpAddr, per_second: f64, now: Instant) -> bool {
        let most = (per_second * BURST_SECONDS).max(1.0);
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() >= ADDRESSES_MAX {
            left.retain(|_, (_, at)| now.duration_since(*at).as_secs_f64() < BURST_SECONDS);
        }
        let (tokens, at) = left.entry(address).or_insert((most, now));
        *tokens = (*tokens + now.duration_since(*at).as_secs_f64() * per_second).min(most);
        *at = now;
        let has = *tokens >= 1.0;
        *tokens -= f64::from(u8::from(has));
        has
    }
}

/// Whether this request may be made; always, unless the settings limit it.
pub(crate) fn is_within_rate(app: &Shared, peer: Option<&Peer>, headers: &HeaderMap) -> bool {
    match (app.config.requests_per_second, peer) {
        (0, _) | (_, None | Some(Peer::Owner)) => true,
        (limit, Some(Peer::Address(address))) => {
            let address = client_address(*address, headers, &app.config.trusted_proxies);
            app.rates.take(client(address), f64::from(limit), Instant::now())
        }
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
}
