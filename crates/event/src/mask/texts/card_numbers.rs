//! Payment card numbers: an issuer's prefix and length, the check digit, and not part of anything longer.

use std::ops::Range;

/// The maximum number of digits of a card.
pub(super) const DIGITS_MAX: usize = 19;

/// The card number that begins at `start`, where there is a digit with none before it.
pub(in crate::mask) fn find(text: &[u8], start: usize) -> Option<Range<usize>> {
    let mut digits = [0_u8; DIGITS_MAX];
    let (count, end) = plain(text, start, &mut digits).or_else(|| grouped(text, start, &mut digits))?;
    (is_issued(&digits[..count]) && has_check_digit(&digits[..count]) && stands_alone(text, start, end))
        .then_some(start..end)
}

/// Digits without a gap.
fn plain(text: &[u8], start: usize, digits: &mut [u8; DIGITS_MAX]) -> Option<(usize, usize)> {
    let count = run(text, start);
    if !(14..=DIGITS_MAX).contains(&count) {
        return None;
    }
    for (place, digit) in text[start..start + count].iter().enumerate() {
        digits[place] = digit - b'0';
    }
    Some((count, start + count))
}

/// As printed on the card: 4-4-4-4 or 4-6-5, with blanks or hyphens.
fn grouped(text: &[u8], start: usize, digits: &mut [u8; DIGITS_MAX]) -> Option<(usize, usize)> {
    let between = *text.get(start + 4)?;
    if run(text, start) != 4 || !matches!(between, b' ' | b'-') {
        return None;
    }
    let groups: &[usize] = if run(text, start + 5) == 6 { &[4, 6, 5] } else { &[4, 4, 4, 4] };
    let (mut at, mut count) = (start, 0);
    for (place, len) in groups.iter().enumerate() {
        if place > 0 {
            (*text.get(at)? == between).then_some(())?;
            at += 1;
        }
        (run(text, at) == *len).then_some(())?;
        for digit in &text[at..at + len] {
            digits[count] = digit - b'0';
            count += 1;
        }
        at += len;
    }
    Some((count, at))
}

fn run(text: &[u8], start: usize) -> usize {
    crate::counted_steps::count(1);
    text.iter().skip(start).take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count()
}

/// Whether an issuer gives out numbers with this prefix and length. Visa's of 13 and 19 digits are left out: they are
/// hardly issued any more, and every tenth German article number of 13 digits would be one.
fn is_issued(digits: &[u8]) -> bool {
    let head = digits[..4].iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    match digits.len() {
        14 => matches!(head, 3000..=3059 | 3095 | 3600..=3699 | 3800..=3999),
        15 => matches!(head, 3400..=3499 | 3700..=3799),
        16 => {
            matches!(head, 4000..=4999 | 5100..=5599 | 2221..=2720 | 6011 | 6440..=6599 | 3528..=3589 | 3000..=3059)
                || is_long(head)
        }
        17..=19 => is_long(head),
        _ => false,
    }
}

/// UnionPay and Maestro.
fn is_long(head: u32) -> bool {
    matches!(head, 6200..=6299 | 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763)
}

/// ISO/IEC 7812-1, annex B (Luhn).
fn has_check_digit(digits: &[u8]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| if place % 2 == 1 { doubled(u32::from(*digit)) } else { u32::from(*digit) })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether the digits are not part of a longer token: hex, a UUID, a fraction, an id with hyphens.
fn stands_alone(text: &[u8], start: usize, end: usize) -> bool {
    let at = |place: Option<usize>| place.and_then(|place| text.get(place)).copied().unwrap_or(b' ');
    let joins = |near: u8, far: u8| {
        near.is_ascii_alphanumeric()
            || !near.is_ascii()
            || (matches!(near, b'-' | b'_') && far.is_ascii_alphanumeric())
            || (near == b'.' && far.is_ascii_digit())
    };
    // A letter that ends an escape, in JSON inside a text, is an edge.
    let is_escape =
        matches!(at(start.checked_sub(1)), b'n' | b't' | b'r') && at(start.checked_sub(2)) == b'\\';
    let is_percent = at(start.checked_sub(3)) == b'%';
    (is_escape || is_percent || !joins(at(start.checked_sub(1)), at(start.checked_sub(2))))
        && !joins(at(Some(end)), at(Some(end + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let start = text.find(|character: char| character.is_ascii_digit()).unwrap();
        let found = find(text.as_bytes(), start).map(|range| &text[range]);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn cards_and_what_looks_like_them() {
        check("4242424242424242", Some("4242424242424242"));
        check("card 4111 1111 1111 1111, 12/29", Some("4111 1111 1111 1111"));
        check("3782 822463 10005.", Some("3782 822463 10005"));
        check("5105-1051-0510-5100", Some("5105-1051-0510-5100"));
        check("4242424242424243", None);
        check("a4242424242424242", None);
        check("4242424242424242-1", None);
        check(".4242424242424242x", None);
        check("42424242424242420", None);
        check("1234567812345670", None);
        check("4111 1111-1111 1111", None);
        check("4111 1111 1111", None);
    }
}
