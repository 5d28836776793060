//! Whatever a policy file holds: it is understood or refused with its place, and what is understood comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_event::Event;
use trailseal_event::policy::{Facts, Policy, Sampler};

fuzz_target!(|text: &str| {
    let _ = Policy::from_rules(text);
    let Ok(policy) = Policy::from_toml(text) else { return };
    assert_eq!(Policy::from_toml(&policy.to_toml()).as_ref(), Ok(&policy));
    assert!(policy.weakened_by(&policy).is_empty());
    let _ = policy.decide(&Facts::of(&Event::new("fuzz.it")), &Sampler::new([7; 16]));
});
