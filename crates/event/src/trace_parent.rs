//! The header by which a request says of which trace it is.

/// The ids of trace and span in a W3C `traceparent` (Trace Context, level 1): `00-` trace `-` parent `-` flags. Later
/// versions may have more behind it.
///
/// ```
/// use trailseal_event::trace_parent::trace_and_span;
///
/// let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
/// assert_eq!(trace_and_span(&format!("00-{trace}-{span}-01")), Some((trace, span)));
/// ```
pub fn trace_and_span(header: &str) -> Option<(&str, &str)> {
    let mut parts = header.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| {
        text.len() == length
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_id = |text: &str, length| is_hex(text, length) && text.bytes().any(|byte| byte != b'0');
    let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    (is_known && is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2)).then_some((trace, span))
}

#[cfg(test)]
mod tests {
    use super::trace_and_span;

    #[test]
    fn only_a_whole_traceparent_counts() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        assert_eq!(trace_and_span(&format!(" 00-{trace}-{span}-01")), Some((trace, span)));
        assert_eq!(trace_and_span(&format!("01-{trace}-{span}-01-more")), Some((trace, span)));
        let zeros = "0".repeat(32);
        for bad in [
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{zeros}-{span}-01"),
            format!("00-{trace}-{}-01", &zeros[16..]),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-zz"),
            "<script>".into(),
        ] {
            assert_eq!(trace_and_span(&bad), None, "{bad}");
        }
    }
}
