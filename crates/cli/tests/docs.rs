//! What the pages in docs/ show is what the program takes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use support::Place;
use trailseal_event::policy::Policy;

/// The blocks of a page that are TOML.
fn toml_blocks(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```toml\n").skip(1);
    blocks.map(|rest| rest.split_once("```").unwrap().0.to_owned()).collect()
}

#[test]
fn policies_on_the_page_of_modes_are_policies() {
    let blocks = toml_blocks("modes.md");
    assert!(blocks.len() >= 3, "{blocks:?}");
    for block in blocks {
        let policy = Policy::from_toml(&block).unwrap_or_else(|error| panic!("{error} in\n{block}"));
        assert!(!policy.rules.is_empty(), "{block}");
    }
}

#[test]
fn settings_on_the_pages_are_settings() {
    for page in ["settings.md", "masking.md", "modes.md", "operations.md", "erasure.md"] {
        let blocks = toml_blocks(page);
        assert!(!blocks.is_empty(), "{page}");
        for block in blocks {
            let place = Place::new();
            place.write("trailseal.toml", block);
            place.run("policy show --dir trail").ok();
        }
    }
}
