//! Sampling: which events of a share are kept.
//!
//! The correlation id is hashed with a secret of the installation, by SipHash-1-3, which is made for keys that
//! an attacker chooses: without the secret nobody can say which id is kept, nor learn it from the ids that were.
//! What is kept at some rate is kept at every higher one.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::complete::random;

const SECRET_BYTES: usize = 16;

/// Decides by a secret which events of a share are kept.
#[derive(Clone)]
pub struct Sampler {
    secret: [u8; SECRET_BYTES],
}

impl Sampler {
    /// With this secret.
    pub fn new(secret: [u8; SECRET_BYTES]) -> Sampler {
        Sampler { secret }
    }

    /// Whether an event is among the share `rate`: with all others of its correlation id (or, without one, with
    /// itself when it is sent again under its id), or, without either, by chance.
    pub fn keeps(&self, correlation_id: Option<&str>, rate: f64) -> bool {
        let point = match correlation_id {
            Some(id) => {
                let secret =
                    if cfg!(trailseal_fault = "sampling_without_secret") { [0; 16] } else { self.secret };
                let mut hasher = SipHasher13::new_with_key(&secret);
                hasher.write(id.as_bytes());
                hasher.finish()
            }
            None => {
                let [a, b, c, d, e, f, g, h, ..] = random();
                u64::from_le_bytes([a, b, c, d, e, f, g, h])
            }
        };
        // 53 bits are what a double holds exactly.
        ((point >> 11) as f64) < rate * (1u64 << 53) as f64
    }
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sampler(secret)")
    }
}
