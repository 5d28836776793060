//! The blocks of the document, run.
#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code, unused_imports, unreachable_pub)]
// The document is not ours.
#![allow(missing_docs, unused_variables, clippy::all, clippy::expect_used, clippy::panic)]

use trailseal_document_004::{blocks, patch};

#[path = "../../postgres/tests/server/mod.rs"]
mod server;
mod surroundings;

include!(concat!(env!("OUT_DIR"), "/blocks.rs"));

fn root() -> std::path::PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// A line may go only for the same with arguments in the place of `...`, or with `async`.
fn is_completed(removed: &str, added: &[String]) -> bool {
    let (before, after) = match removed.split_once("(...)") {
        Some((before, after)) => (format!("{before}("), format!("){after}")),
        None => return added.iter().any(|line| line.replace("async ", "") == removed),
    };
    let added = added.join("\n");
    added.find(&before).is_some_and(|at| added[at..].contains(&after))
}

#[test]
fn every_block_is_run_or_left_out_for_a_reason() {
    let document = std::fs::read_to_string(root().join("document.md")).unwrap();
    let left_out = std::fs::read_to_string(root().join("left-out.txt")).unwrap();
    let mut left_out: Vec<(usize, &str)> = left_out
        .lines()
        .map(|line| {
            let (number, reason) = line.split_once(' ').expect("a number and a reason");
            (number.parse().unwrap(), reason)
        })
        .collect();
    let blocks = blocks(&document);
    assert_eq!(blocks.len(), document.matches("```rust").count());
    let mut patches: Vec<_> = std::fs::read_dir(root().join("patches"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for block in &blocks {
        let name = format!("block_{:02}.patch", block.number);
        match std::fs::read_to_string(root().join("patches").join(&name)) {
            Ok(diff) => {
                let patched = patch(&block.text, &diff).unwrap();
                let is_tested = patched.text.contains("#[tokio::test]") || patched.text.contains("#[test]");
                assert!(is_tested, "block {} is not run by a test", block.number);
                for removed in &patched.removed {
                    assert!(
                        is_completed(removed, &patched.added),
                        "block {} loses {removed:?}",
                        block.number
                    );
                }
                println!(
                    "block {:2}: {:3} lines, {:2} added, {} completed",
                    block.number,
                    block.text.lines().count(),
                    patched.added.len(),
                    patched.removed.len()
                );
                patches.retain(|other| *other != name);
            }
            Err(_) => {
                let at = left_out.iter().position(|(number, _)| *number == block.number);
                let at = at.unwrap_or_else(|| panic!("block {} is neither run nor left out", block.number));
                let (number, reason) = left_out.remove(at);
                assert!(reason.split_whitespace().count() > 2, "block {number} is left out without a reason");
                println!("block {number:2}: left out: {reason}");
            }
        }
    }
    assert!(left_out.is_empty(), "left out and run, or not there: {left_out:?}");
    assert!(patches.is_empty(), "patches of no block: {patches:?}");
}

#[test]
fn a_patch_that_takes_something_away_is_found() {
    let added = ["    logger.log(1, 2).await;".to_owned(), "async fn create() {".to_owned()];
    assert!(is_completed("    logger.log(...).await;", &added));
    assert!(is_completed("fn create() {", &added));
    assert!(!is_completed("    storage.verify();", &added));
    assert!(patch("a\nb\n", "@@ -1,1 +1,1 @@\n-c\n+d\n").is_err());
    assert_eq!(patch("a\nb\n", "@@ -0,0 +1,1 @@\n+c\n@@ -2 +3 @@\n-b\n+d\n").unwrap().text, "c\na\nd\n");
}
