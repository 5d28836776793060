//! The viewer in a real browser, on the real server. The tests are in JavaScript, beside the viewer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

#[test]
fn the_viewer_works_in_a_real_browser() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/viewer-tests");
    let program = Path::new(env!("CARGO_BIN_EXE_trailseal"));
    // TARGET/debug/trailseal; `cargo xtask setup` puts the package that drives the browser into TARGET/strangers.
    let modules = program.ancestors().nth(2).unwrap().join("strangers/node_modules");
    let is_set_up = modules.join("playwright-core").exists() && Path::new("/usr/bin/chromium").exists();
    if !is_set_up && std::env::var_os("CI").is_none() {
        eprintln!("skipped: `cargo xtask setup` installs the browser");
        return;
    }
    let output = Command::new("node")
        .arg("--test")
        .arg(&tests)
        .env("VIEWER_TEST_BIN", program)
        .env("NODE_PATH", &modules)
        .output()
        .expect("node runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // What is skipped does not fail; here nothing may be.
    let skipped = text.lines().find(|line| line.contains("skipped ")).unwrap_or_default();
    assert!(skipped.ends_with("skipped 0"), "{skipped}\n{text}");
}
