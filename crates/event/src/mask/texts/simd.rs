//! One pass over text for two things at once: places where three bytes look like an anchor, and digits that could be a
//! card. 64 bytes at a time with AVX-512 or AVX2, otherwise (and in tests, for comparison) with a plain loop.
//!
//! Anchors are found by half-bytes (the Teddy method): each of sixteen buckets holds some anchors, and for each of the
//! three bytes two tables of 16 entries say which buckets could have that half-byte there. A table has room for eight
//! buckets, so there are two sets: fewer anchors in each let fewer places pass. What passes is looked up by a hash in a
//! bitmap before anything is called.

#[cfg(target_arch = "x86_64")]
mod blocks;
mod tables;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(in crate::mask) use tables::{BUCKETS, Hit, SLOTS, Set, Tables, slot};

/// Calls `visit` for each hit until it returns true, and returns whether it did. A hit may come twice. Anchors come in
/// order, and so do digits; an anchor may come after digits that follow it.
#[inline]
pub(in crate::mask) fn scan(text: &[u8], tables: &Tables, visit: impl FnMut(Hit) -> bool) -> bool {
    #[cfg(target_arch = "x86_64")]
    if text.len() >= blocks::LEN_MIN {
        if let Some(avx512) = x86::Avx512::detect() {
            return avx512.scan(text, tables, visit);
        }
        if let Some(avx2) = x86::Avx2::detect() {
            return avx2.scan(text, tables, visit);
        }
    }
    scan_plain(text, tables, visit)
}

/// The same, byte by byte.
pub(super) fn scan_plain(text: &[u8], tables: &Tables, mut visit: impl FnMut(Hit) -> bool) -> bool {
    let mut digits = 0;
    for at in 0..text.len() {
        if tables.is_anchor(text, at) && visit(Hit::Anchor(at)) {
            return true;
        }
        if text[at].is_ascii_digit() {
            digits += 1;
            continue;
        }
        if digits > 0 && ends_digits(text, at, digits) && visit(Hit::Digits(at - digits)) {
            return true;
        }
        digits = 0;
    }
    digits >= 14 && visit(Hit::Digits(text.len() - digits))
}

fn ends_digits(text: &[u8], at: usize, digits: usize) -> bool {
    let follows = |count: usize| text.get(at + count).is_some_and(u8::is_ascii_digit);
    digits >= 14 || (digits == 4 && (1..=4).all(follows))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::anchors::{BLANK_STARTS, Finder};
    use super::super::token_prefixes::{KEY_ENDS, RULES};
    use super::tables::is_json_start;
    use super::*;

    fn hits(scan: impl Fn(&mut dyn FnMut(Hit) -> bool)) -> BTreeSet<Hit> {
        let mut hits = BTreeSet::new();
        scan(&mut |hit| {
            hits.insert(hit);
            false
        });
        hits
    }

    fn check(text: &[u8]) {
        let tables = &Finder::get().tables;
        let plain = hits(|visit| _ = scan_plain(text, tables, visit));
        check_way(text, &plain, |visit| _ = scan(text, tables, visit));
        #[cfg(target_arch = "x86_64")]
        if text.len() >= blocks::LEN_MIN
            && let Some(avx2) = x86::Avx2::detect()
        {
            check_way(text, &plain, |visit| _ = avx2.scan(text, tables, visit));
        }
    }

    fn check_way(text: &[u8], plain: &BTreeSet<Hit>, way: impl Fn(&mut dyn FnMut(Hit) -> bool)) {
        let fast = hits(way);
        // The plain loop alone takes two cases for one, and a key's quote for an anchor. Of digits longer than a
        // card both may say what they like.
        let counts = |hit: &&Hit| match **hit {
            Hit::Anchor(at) => is_real(text, at),
            Hit::Digits(at) => {
                let run = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                run < 20 && (at == 0 || !text[at - 1].is_ascii_digit())
            }
        };
        let (fast, plain): (Vec<_>, Vec<_>) =
            (fast.iter().filter(counts).collect(), plain.iter().filter(counts).collect());
        assert_eq!(fast, plain, "{:?}", String::from_utf8_lossy(text));
    }

    /// Whether the anchor of some form stands here.
    fn is_real(text: &[u8], at: usize) -> bool {
        let Some(&[a, b, c]) = text[at..].first_chunk::<3>() else { return false };
        let ends_a_key = KEY_ENDS.iter().any(|[before, last]| {
            (a | 0x20 == *before && b | 0x20 == *last && a > b'@' && b > b'@' && b"=:\\'".contains(&c))
                || (a | 0x20 == *last && a > b'@' && b == b' ' && b"=:".contains(&c))
                || (a | 0x20 == *last && a > b'@' && b.is_ascii_digit() && b"=:\\".contains(&c))
        });
        let ends_with_digits = a.is_ascii_digit() && (b.is_ascii_digit() || b == b' ') && c == b'=';
        let begins_a_string = BLANK_STARTS.contains(&[a, b, c]) || [a, b, c] == *b"\\u0";
        let begins_a_literal = RULES.iter().any(|rule| {
            at.checked_sub(rule.anchor)
                .is_some_and(|start| text[start..].starts_with(rule.literal.as_bytes()))
        });
        is_json_start(a, b) || ends_a_key || ends_with_digits || begins_a_string || begins_a_literal
    }

    #[test]
    fn every_place_of_a_block() {
        let blanks = ["\"\\n{", "\"  {", "\"\u{feff}["];
        let others =
            ["ghp_", "\"{\\", "4242424242424242", "4111 1111 1111 1111", "://", "password=", "cvv2="];
        for anchor in others.into_iter().chain(blanks).chain(["pin12=", "\\u00074242 4242"]) {
            for before in 0..200 {
                for after in [0, 1, 2, 31, 63, 64, 65, 66, 130] {
                    check(format!("{}{anchor}{}", "a".repeat(before), "b".repeat(after)).as_bytes());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn fast_and_plain_agree(text in "([a-z_:/ \"{=-]{0,20}|[0-9]{1,19}|[0-9]{4}[ -]|ghp_|eyJ|rd=|d2=|12=|\"\\\\n|\" |\\\\u0|://|\\\\|.){0,60}") {
            check(text.as_bytes());
        }
    }
}
