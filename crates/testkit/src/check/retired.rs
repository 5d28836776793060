//! Which lines the signed events say were retired, found without the core's code.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use trailseal_core::file::Files;
use trailseal_core::{Folder, Manifest};
use trailseal_event::Value;

/// The indexes for which a sealed event `trail.retired` vouches. `sealed` are the lines that the newest checkpoint covers.
pub(super) fn vouched(
    folder: &Folder,
    files: &dyn Files,
    manifest: &Manifest,
    sealed: &[Vec<u8>],
) -> BTreeSet<u64> {
    let mut vouched = BTreeSet::new();
    for (index, line) in (0..).zip(sealed) {
        let text = String::from_utf8_lossy(line);
        if !text.contains("\"system\":true,") || !text.contains("\"action\":\"trail.retired\"") {
            continue;
        }
        let event = Value::parse(line).unwrap_or_else(|error| panic!("line {index}: {error}"));
        let details = event.get("details").unwrap_or_else(|| panic!("event {index} has no details"));
        let begin = text.find("\"details\":{").map(|at| at + 10);
        let begin = begin.unwrap_or_else(|| panic!("event {index} has no details"));
        let end = text.rfind(",\"signature\":\"").unwrap_or_else(|| panic!("event {index} is not signed"));
        let signed = format!("trailseal-retired@v1\n{}\n{}", manifest.origin, &text[begin..end]);
        let signature = details.get("signature").and_then(Value::as_str).unwrap_or_default();
        let signature =
            decode(signature).unwrap_or_else(|| panic!("event {index} has a malformed signature"));
        let in_force =
            manifest.keys.iter().find(|key| key.from <= index && key.to.is_none_or(|to| index < to));
        let key = in_force.unwrap_or_else(|| panic!("no key was in force at event {index}"));
        assert!(
            key.public_key.verify(signed.as_bytes(), &signature),
            "event {index} is not signed by the key in force"
        );
        let lists = details.get("segments").and_then(Value::as_array).unwrap_or_default();
        assert!(lists.len() <= 256, "event {index} covers {} segments", lists.len());
        lists.iter().for_each(|list| take(folder, files, list, &mut vouched));
    }
    vouched
}

fn take(folder: &Folder, files: &dyn Files, list: &Value, vouched: &mut BTreeSet<u64>) {
    let number = |key: &str| list.get(key).and_then(Value::as_u64).unwrap_or_default();
    let path = folder.segments_folder().join(format!("{:020}.retired", number("first")));
    let Ok(bytes) = files.read(&path, u64::MAX - 1) else { return };
    let Some(part) = bytes.get(..number("bytes") as usize) else { return };
    let sha256: String = Sha256::digest(part).iter().map(|byte| format!("{byte:02x}")).collect();
    if list.get("sha256").and_then(Value::as_str) != Some(&sha256) {
        return;
    }
    for line in String::from_utf8_lossy(part).lines() {
        let (from, to) = line.split_once(' ').unwrap_or_else(|| panic!("a range is {line:?}"));
        let number = |text: &str| text.parse::<u64>().unwrap_or_else(|error| panic!("{line:?}: {error}"));
        vouched.extend(number(from)..number(to));
    }
}

fn decode(text: &str) -> Option<[u8; 64]> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()?.try_into().ok()
}
