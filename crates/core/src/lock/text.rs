//! The text of the lock file: lines of TOML, each parsed by itself, since a stop during an overwrite can leave the end
//! of an older line after them.
//!
//! A path is bytes. One that is UTF-8 is written as a TOML string, any other in hexadecimal digits; both parse back to
//! exactly the same bytes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Longer than any path with every byte of it escaped.
pub(super) const TEXT_BYTES_MAX: u64 = 64 << 10;

/// What the next opening should know about a writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// The handoff file; relative if it is inside the trail's folder, so that a copy of the folder does not lead to the
    /// original's.
    pub(crate) handoff: Option<PathBuf>,
    /// Whether everything accepted was durable in segments when it ended.
    pub(crate) closed: bool,
}

/// The text of the process `pid`.
pub(super) fn write(pid: u32, left: &Left) -> String {
    let mut text = format!("host = {}\nboot = {}\npid = {pid}\n", quoted(&host()), quoted(&boot()));
    if let Some(path) = &left.handoff {
        match path.to_str() {
            Some(path) => text.push_str(&format!("handoff = {}\n", quoted(path))),
            None => text.push_str(&format!("handoff_hex = \"{}\"\n", hex(path.as_os_str().as_bytes()))),
        }
    }
    if left.closed {
        text.push_str("closed = true\n");
    }
    text
}

/// Parses what the text says about the writer's end.
pub(super) fn left(text: &[u8]) -> Left {
    let plain = field(text, "handoff").and_then(|value| Some(PathBuf::from(value.as_str()?)));
    let coded = || {
        let value = field(text, "handoff_hex")?;
        Some(PathBuf::from(OsString::from_vec(unhex(value.as_str()?)?)))
    };
    Left {
        handoff: plain.or_else(coded).filter(|path| !path.as_os_str().is_empty()),
        closed: field(text, "closed").is_some_and(|value| value.as_bool() == Some(true)),
    }
}

/// The process that the text names.
pub(super) fn pid(text: &[u8]) -> Option<u32> {
    field(text, "pid")?.as_integer()?.try_into().ok()
}

/// A handoff's path as written in the lock file of `folder`.
pub(super) fn as_named(handoff: &Path, folder: &Path) -> std::io::Result<PathBuf> {
    let (handoff, folder) = (std::path::absolute(handoff)?, std::path::absolute(folder)?);
    Ok(match handoff.strip_prefix(&folder) {
        Ok(within) if within.components().count() == 1 => within.to_owned(),
        _ => handoff,
    })
}

fn field(text: &[u8], name: &str) -> Option<toml::Value> {
    let lines = text.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" = ")))
        .find_map(|line| toml::from_str::<toml::Table>(line).ok()?.remove(name))
}

/// As a TOML string on one line.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            control if control.is_ascii_control() => out.push_str(&format!("\\u{:04x}", control as u32)),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn boot() -> String {
    // Only Linux has it here; elsewhere host and pid must suffice.
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use proptest::prelude::*;

    use super::*;

    fn read_back(path: &Path) -> Left {
        left(write(7, &Left { handoff: Some(path.to_owned()), closed: false }).as_bytes())
    }

    #[test]
    fn odd_names_read_back_and_ordinary_ones_stay_readable() {
        let odd = [
            "/a\"b",
            "/a\\b",
            "/a\\\"",
            "/tab\there",
            "/e\u{301}",
            "/new\nline",
            "/\u{7f}\u{85}\u{2028}",
            "\"",
        ];
        for name in odd {
            assert_eq!(read_back(Path::new(name)).handoff.as_deref(), Some(Path::new(name)), "{name:?}");
        }
        let text = write(7, &Left { handoff: Some("/dev/shm/trail é".into()), closed: true });
        assert!(text.ends_with("pid = 7\nhandoff = \"/dev/shm/trail é\"\nclosed = true\n"), "{text}");
        assert_eq!(pid(text.as_bytes()), Some(7));
    }

    #[test]
    fn a_handoff_within_the_folder_is_named_by_its_name_alone() {
        let named = |path: &str| as_named(Path::new(path), Path::new("/trail")).unwrap();
        assert_eq!(named("/trail/handoff"), Path::new("handoff"));
        assert_eq!(named("/trail/a/b"), Path::new("/trail/a/b"));
        assert_eq!(named("/trails/handoff"), Path::new("/trails/handoff"));
    }

    proptest! {
        /// Whatever bytes a path has, and whatever an older text left behind the new one.
        #[test]
        fn every_path_reads_back(
            bytes in proptest::collection::vec(1u8..=255, 1..200),
            behind in proptest::collection::vec(any::<u8>(), 0..80),
            closed in any::<bool>(),
        ) {
            let left = Left { handoff: Some(PathBuf::from(OsString::from_vec(bytes))), closed: true };
            let mut text = write(7, &left).into_bytes();
            prop_assert_eq!(super::left(&text), left.clone());
            if closed {
                text.extend_from_slice(&behind);
                prop_assert_eq!(super::left(&text), left);
            }
        }

        /// Whatever the bytes are, reading them ends and does not panic.
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            left(&bytes);
            pid(&bytes);
        }
    }
}
