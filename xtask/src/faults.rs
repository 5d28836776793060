//! Do the tests bite? Each deliberate fault is a small wrong in the product's code, switched by the test-only
//! cfg `trailseal_fault`. One build each; at least one of the named tests must turn red.

use std::process::Command;
use std::time::Instant;

/// A deliberate fault and the test that must find it.
struct Fault {
    /// Value of the cfg `trailseal_fault`.
    name: &'static str,
    /// What is wrong with it.
    what: &'static str,
    /// Arguments to `cargo test` that run the tests which must find it.
    tests: &'static [&'static str],
}

const FAULTS: &[Fault] = &[];

/// Runs all faults, or the one named.
pub(crate) fn run(only: Option<&str>) -> Result<(), String> {
    let mut rows = Vec::new();
    let mut unbitten = Vec::new();
    for fault in FAULTS.iter().filter(|fault| only.is_none_or(|only| only == fault.name)) {
        let begun = Instant::now();
        let red = red_tests(fault)?;
        println!(
            "{}: {} ({} s)",
            fault.name,
            if red.is_empty() { "NOT FOUND" } else { &red[0] },
            begun.elapsed().as_secs()
        );
        if red.is_empty() {
            unbitten.push(fault.name);
        }
        rows.push((fault, red));
    }
    println!("\n| fault | what is wrong | found by |\n| --- | --- | --- |");
    for (fault, red) in &rows {
        println!(
            "| `{}` | {} | {} |",
            fault.name,
            fault.what,
            if red.is_empty() { "**nothing**".into() } else { red.join(", ") }
        );
    }
    if unbitten.is_empty() { Ok(()) } else { Err(format!("no test found: {}", unbitten.join(", "))) }
}

fn red_tests(fault: &Fault) -> Result<Vec<String>, String> {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(&format!(" --cfg trailseal_fault=\"{}\"", fault.name));
    let output = Command::new("cargo")
        .arg("test")
        .args(fault.tests)
        .env("RUSTFLAGS", flags.trim())
        .env("CARGO_TARGET_DIR", "target/faults")
        .env("TRAILSEAL_KILL_ROUNDS", "12")
        .output()
        .map_err(|error| format!("cargo test: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.contains("test result:") && !output.status.success() {
        return Err(format!("{} does not build:\n{}", fault.name, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(text
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
        .map(str::to_owned)
        .collect())
}
