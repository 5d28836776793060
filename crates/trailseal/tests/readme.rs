//! What README.md shows of the library is what this test runs.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it prints, as the README does")]

#[test]
fn the_library_of_the_readme_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    shown().unwrap();
    let source = include_str!("readme.rs");
    let run = source.split("// From here on as shown.\n").nth(1).unwrap();
    let run = run.split("    // To here.\n").next().unwrap();
    // In the README nothing is indented.
    let run: String = run
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let readme = include_str!("../../../README.md");
    let block = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(run, block);
}

#[rustfmt::skip]
fn shown() -> Result<(), Box<dyn std::error::Error>> {
    // From here on as shown.
    use trailseal::{Event, Outcome, Query, Trail};

    let trail = Trail::open("./trail")?;
    trail.record(Event::new("invoice.approve").actor("u1").resource("invoice", "42").outcome(Outcome::Success))?;
    let page = trail.query(Query::new().actor("u1"))?;
    println!("{}", trail.verify()?);
    trail.close(std::time::Duration::from_secs(10))?;
    // To here.
    assert_eq!(page.events.len(), 1);
    Ok(())
}
