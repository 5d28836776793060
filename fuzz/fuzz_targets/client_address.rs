//! Whatever `Forwarded` and `X-Forwarded-For` say: only a trusted proxy is believed, and how the hops are spread over
//! headers says nothing.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use trailseal_server::fuzzing::client_address;

// A line for each header: `F` or anything else, and its value.
fuzz_target!(|input: (bool, &[u8])| {
    let (is_trusted, lines) = input;
    let trusted = ["10.0.0.0/8".parse().expect("a network")];
    let peer = IpAddr::from(if is_trusted { [10, 0, 0, 1] } else { [203, 0, 113, 9] });
    let lines = lines.split(|byte| *byte == b'\n').filter_map(|line| line.split_first());
    let headers: Vec<(&str, &[u8])> = lines
        .map(|(first, value)| (if *first == b'F' { "forwarded" } else { "x-forwarded-for" }, value))
        .collect();
    let address = client_address(peer, &headers, &trusted);
    assert_eq!(address, address.to_canonical());
    assert!(is_trusted || address == peer, "{address} was made up");
    let is_text = |value: &[u8]| value.iter().all(|byte| (b' '..=b'~').contains(byte));
    if headers.iter().all(|(name, value)| *name == "x-forwarded-for" && is_text(value)) && !headers.is_empty()
    {
        let one = headers.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(&b',');
        assert_eq!(client_address(peer, &[("x-forwarded-for", &one)], &trusted), address);
    }
});
