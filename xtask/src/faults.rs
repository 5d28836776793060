//! Do the tests bite? Each deliberate fault is a small wrong in the product's code, switched by the test-only
//! cfg `trailseal_fault`. One build each; at least one of the named tests must turn red.

mod personal;
mod programs;
mod retirement;
mod store;
mod trail;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Instant, SystemTime};

/// A deliberate fault and the test that must find it.
struct Fault {
    /// Value of the cfg `trailseal_fault`.
    name: &'static str,
    /// What is wrong with it.
    what: &'static str,
    /// Arguments to `cargo test` that run the tests which must find it.
    tests: &'static [&'static str],
}

/// Runs all faults, or the one named.
pub(crate) fn run(only: Option<&str>) -> Result<(), String> {
    let mut rows = Vec::new();
    let mut unbitten = Vec::new();
    let lists = [trail::FAULTS, programs::FAULTS, retirement::FAULTS, personal::FAULTS, store::FAULTS];
    for fault in lists.into_iter().flatten().filter(|fault| only.is_none_or(|only| only == fault.name)) {
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

/// Set while this program stands in for rustc on the project's own crates: the fault to switch on.
const WRAPPER: &str = "XTASK_FAULT";

/// Runs rustc with the fault's cfg, if this process was started in its place.
pub(crate) fn as_compiler() -> Option<ExitCode> {
    let fault = std::env::var(WRAPPER).ok()?;
    let mut arguments = std::env::args_os().skip(1);
    let compiler = arguments.next().filter(|name| Path::new(name).ends_with("rustc"))?;
    let status = Command::new(compiler)
        .args(arguments)
        .arg("--cfg")
        .arg(format!("trailseal_fault=\"{fault}\""))
        .status();
    Some(match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Has the name of the fault that was built last.
const LAST_BUILT: &str = "target/faults/last-built";

/// Makes the crates that this fault is in look newer, and those that the last one is in: cargo does not see that the wrapper's
/// flag has changed, and whatever else was built stays as it is.
fn touch_crates_with(name: &str) -> Result<(), String> {
    let failed =
        |path: &Path, error| format!("{}: {error}; run this at the root of the repository", path.display());
    let last = std::fs::read_to_string(LAST_BUILT).unwrap_or_default();
    let names = [name, last.trim()];
    let crates = Path::new("crates");
    for entry in std::fs::read_dir(crates).map_err(|error| failed(crates, error))?.flatten() {
        let library = entry.path().join("src/lib.rs");
        if library.exists()
            && names.iter().any(|name| !name.is_empty() && has_fault(&entry.path().join("src"), name))
        {
            let file = std::fs::File::options().append(true).open(&library);
            file.and_then(|file| file.set_modified(SystemTime::now()))
                .map_err(|error| failed(&library, error))?;
        }
    }
    // Before it is built: a build that is interrupted may have some of it.
    std::fs::create_dir_all("target/faults")
        .and_then(|()| std::fs::write(LAST_BUILT, name))
        .map_err(|error| failed(Path::new(LAST_BUILT), error))
}

fn has_fault(folder: &Path, name: &str) -> bool {
    let quoted = format!("\"{name}\"");
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).any(|path| match path
        .is_dir()
    {
        true => has_fault(&path, name),
        false => std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&quoted)),
    })
}

fn red_tests(fault: &Fault) -> Result<Vec<String>, String> {
    touch_crates_with(fault.name)?;
    let own = std::env::current_exe().map_err(|error| format!("this program's path: {error}"))?;
    let output = Command::new("cargo")
        .args(["test", "--no-fail-fast"])
        .args(fault.tests)
        .env("RUSTC_WORKSPACE_WRAPPER", own)
        .env(WRAPPER, fault.name)
        .env("CARGO_TARGET_DIR", "target/faults")
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
