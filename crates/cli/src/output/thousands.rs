/// A number with thousands separators.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes in whole units, rounded down.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..1_024 => format!("{number} bytes"),
        1_024..0x10_0000 => format!("{} KiB", number >> 10),
        0x10_0000..0x100_0000_0000 => format!("{} MiB", thousands(number >> 20)),
        _ => format!("{} GiB", thousands(number >> 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, thousands};

    #[test]
    fn bytes_have_the_unit_in_which_they_are_some() {
        assert_eq!(
            [0, 1_023, 1_024, 9 << 20, 3_000 << 20].map(bytes),
            ["0 bytes", "1023 bytes", "1 KiB", "9 MiB", "3,000 MiB"]
        );
    }

    #[test]
    fn thousands_are_kept_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
