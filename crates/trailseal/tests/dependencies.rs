//! How many crates a fresh application builds for this one.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

/// The crates that are built with these features, our own too; one that is there in two versions counts twice.
fn built_with(features: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--no-dedupe",
            "--format",
            "{p}",
        ])
        .args(["--package", "trailseal", "--no-default-features", "--features", features])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let lines = String::from_utf8(tree.stdout).unwrap();
    let names = lines.lines().map(|line| line.split(" (").next().unwrap_or_default().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn a_fresh_application_builds_few_crates() {
    // Two of the default's are there for erasure: `ring`, and what it stands on.
    for (features, most) in [("default", 76), ("index", 95)] {
        let built = built_with(features);
        assert!(built.iter().any(|name| name.starts_with("trailseal-core ")), "{built:?}");
        assert!(
            built.len() <= most,
            "{} crates with {features}, and {most} are enough: {built:#?}",
            built.len()
        );
    }
}
