//! Addresses, compared as addresses: however they are written, and with or without a port.

use std::net::{IpAddr, SocketAddr};

/// Longer texts are no address.
const TEXT_BYTES_MAX: usize = 128;

/// The address that a text names: `192.0.2.7`, `192.0.2.7:443`, `[2001:db8::1]:443`, `::ffff:192.0.2.7` (which is the
/// IPv4 address), with a zone or blanks around.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if text.len() > TEXT_BYTES_MAX
        || !text.starts_with(|first: char| first.is_ascii_hexdigit() || "[:".contains(first))
    {
        return None;
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    // A zone names an interface of one machine.
    let bare = bare.split_once('%').map_or(bare, |(bare, _)| bare);
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

/// Whether two texts are alike, or name the same address.
pub fn is_same_address(one: &str, other: &str) -> bool {
    one == other || parse_address(one).is_some_and(|address| parse_address(other) == Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_same_however_they_are_written() {
        for other in [
            "192.0.2.7",
            " 192.0.2.7 ",
            "192.0.2.7:443",
            "::ffff:192.0.2.7",
            "[::ffff:192.0.2.7]:443",
            "::FFFF:C000:207",
        ] {
            assert!(is_same_address("192.0.2.7", other), "{other}");
        }
        for other in
            ["2001:db8::1", "2001:DB8:0:0:0:0:0:1", "[2001:db8::1]", "[2001:db8::1]:443", "2001:db8::1%eth0"]
        {
            assert!(is_same_address("2001:db8::1", other), "{other}");
        }
        for (one, other) in
            [("192.0.2.7", "192.0.2.70"), ("host", "HOST"), ("", "0.0.0.0"), ("192.0.2", "192.0.0.2")]
        {
            assert!(!is_same_address(one, other), "{one} {other}");
        }
        assert!(is_same_address("redacted", "redacted"));
    }
}
