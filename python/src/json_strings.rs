//! Texts: the inside of a JSON string, and what an exception says.

use pyo3::prelude::*;

/// Of a `repr`.
const REPR_CHARS_MAX: usize = 1_024;

/// The beginning of a text that may be long.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(REPR_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What an exception says, with its class.
pub(crate) fn error_text(error: &Bound<'_, PyAny>) -> PyResult<String> {
    let said = error.str()?;
    let (class, said) = (error.get_type().qualname()?.to_string(), said.to_string_lossy().into_owned());
    Ok(if said.is_empty() { class } else { format!("{class}: {said}") })
}

/// Appends the inside of a JSON string.
#[inline]
pub(crate) fn escape(text: &[u8], out: &mut Vec<u8>) {
    let is_special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let mut from = 0;
    let (blocks, rest) = text.as_chunks::<16>();
    let is_clean = |block: &[u8]| !block.iter().fold(false, |any, &byte| any | is_special(byte));
    if blocks.iter().all(|block| is_clean(block)) && is_clean(rest) {
        out.extend_from_slice(text);
        return;
    }
    for (at, &byte) in text.iter().enumerate() {
        if !is_special(byte) {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&text[from..]);
}
