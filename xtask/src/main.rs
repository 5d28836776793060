//! Set-up, the full test run, and the question whether the tests bite.
//!
//! `cargo xtask test` is one of the README's two commands. It installs what a fresh Debian machine lacks
//! and runs every test; `cargo xtask ci` adds format, lints and documentation; `cargo xtask faults` builds
//! each deliberate fault and looks whether a test turns red.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod direction;
mod faults;
mod programs;
mod python;
mod release;
mod scratch;
mod setup;

use std::process::{Command, ExitCode};

const HELP: &str = "\
usage: cargo xtask COMMAND

  setup         install what the tests need and this machine lacks
  test          install what is missing, then run every test
  ci            test, and check format, lints, documentation and house rules
  python        build the Python package and test it as it is installed; part of test
  wheel         build the Python package as it is published, for older systems than this one
  release       build what a release has: the program, the wheel, and the page that checks evidence
  long [NAME…]  run the long tests in full, or these of them, and write their result files into the repository
  faults [NAME] build each deliberate fault and see at least one test turn red
  direction     look for circles of files, and for uses that the map does not allow
  fuzz SECONDS  run every fuzz target for that long (needs a nightly toolchain and cargo-fuzz)
";

fn main() -> ExitCode {
    if let Some(code) = faults::as_compiler() {
        return code;
    }
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some("setup") => setup::install_missing(),
        Some("test") => test(),
        Some("ci") => ci(),
        Some("python") => root().and_then(|root| {
            let scratch = scratch::Scratch::new()?;
            programs::run(python::jobs(&root, scratch.path())?)
        }),
        Some("wheel") => root().and_then(|root| python::wheel(&root).map(drop)),
        Some("release") => root().and_then(|root| release::build(&root)),
        Some("long") => long(&arguments.collect::<Vec<_>>()),
        Some("faults") => faults::run(arguments.next().as_deref()),
        Some("direction") => direction(),
        Some("fuzz") => fuzz(arguments.next().as_deref().unwrap_or("60")),
        _ => {
            print!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("xtask: {what}");
            ExitCode::FAILURE
        }
    }
}

/// What is tested beside the defaults. `object-store` is not: its test needs an S3 server, and whatever stands above
/// `export` would be built and tested a second time. Lints and documentation have it.
const FEATURES: &str =
    "trailseal/axum,trailseal/tracing,trailseal/derive,trailseal/archive,trailseal/postgres,trailseal/serve";

/// Runs one of the long tests from the root of the repository.
type Step = fn(&str) -> Result<(), String>;

/// Every test of the project.
fn test() -> Result<(), String> {
    setup::install_missing()?;
    // One selection of packages, so that both builds share all crates of others: cargo builds a crate again for each set
    // of its features, and these depend on what else is built. The second adds what the features of `trailseal` add.
    let mut jobs = programs::build(&[&["--workspace"], &["--workspace", "--features", FEATURES]])?;
    let command = programs::beside(&jobs, "trailseal")?;
    let examples = programs::beside(&jobs, "examples")?;
    jobs.push(cargo_job(&["test", "--doc", "--no-fail-fast", "--workspace", "--features", FEATURES]));
    jobs.push(cargo_job(&["test", "--manifest-path", "benches/report/Cargo.toml"]));
    let scratch = scratch::Scratch::new()?;
    // Also if these cannot be built, the others run: each run tells all that is wrong.
    let mut python = python::jobs(&root()?, scratch.path());
    jobs.extend(python.iter_mut().flat_map(std::mem::take));
    for job in &mut jobs {
        job.set("ATTACKS_PROGRAM", &command);
        job.set("EXAMPLES", &examples);
        job.set("TMPDIR", scratch.path());
    }
    programs::run(jobs).and(python.map(drop))
}

fn cargo_job(arguments: &[&str]) -> programs::Job {
    let mut command = Command::new("cargo");
    command.args(arguments);
    programs::Job::new(format!("cargo {}", arguments.join(" ")), command)
}

fn ci() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    cargo(&["clippy", "--workspace", "--all-features", "--all-targets", "--", "-D", "warnings"])?;
    // Examples need what tests need, so nothing is checked again with fewer features than for clippy.
    let documentation = ["doc", "--workspace", "--all-features", "--no-deps", "--lib", "--examples"];
    step("documentation", Command::new("cargo").args(documentation).env("RUSTDOCFLAGS", "-D warnings"))?;
    house_rules()?;
    direction()?;
    test()
}

/// So many trails are changed at random; a plain test run takes a tenth of them.
const ATTACK_ROUNDS: &str = "2400";

/// So many retirements are killed; a plain test run kills a tenth of them.
const KILL_ROUNDS: &str = "100";

/// In so many rounds a store fails; a plain test run fails it once in each way.
const OUTAGE_ROUNDS: &str = "100";

/// So many events come while a store is down; in a plain test run 20,000.
const DOWN_EVENTS: &str = "1000000";

/// The tests of which every other run takes a seeded part, or those whose names are given. What they found is checked in.
fn long(names: &[String]) -> Result<(), String> {
    let steps: [(&str, Step); 6] = [
        ("mutation", long_mutation),
        ("archives", |_| long_archives()),
        ("indexes", |_| long_indexes()),
        ("kills", |_| long_kills()),
        ("outages", long_outages),
        ("store-down", long_store_down),
    ];
    let known: Vec<&str> = steps.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("there is no long test {unknown}: there are {}", known.join(", ")));
    }
    let commit = release::commit()?;
    let wanted = |name: &str| names.is_empty() || names.iter().any(|given| given == name);
    steps.iter().filter(|(name, _)| wanted(name)).try_for_each(|(_, step)| step(&commit))
}

fn long_mutation(commit: &str) -> Result<(), String> {
    cargo(&["build", "--workspace", "--bins"])?;
    step(
        "trails changed at random",
        Command::new("cargo")
            .args(["test", "-p", "trailseal-attacks", "--test", "mutation"])
            .env("ATTACKS_ROUNDS", ATTACK_ROUNDS)
            .env("ATTACKS_COMMIT", commit)
            .env("ATTACKS_RESULTS", root()?.join("crates/attacks/results/mutation.txt")),
    )
}

fn long_archives() -> Result<(), String> {
    let archive = ["test", "-p", "trailseal-cli", "--features", "object-store", "--test", "retention_s3"];
    step(
        "archives in an object store",
        Command::new("cargo")
            .args(archive)
            .args(["--", "--ignored"])
            .env("MOTO_SERVER", setup::install_moto()?),
    )
}

fn long_indexes() -> Result<(), String> {
    step(
        "each index of the shared store, with a million rows",
        Command::new("cargo")
            .args(["test", "-p", "trailseal-postgres", "--test", "indexes"])
            .env("TRAILSEAL_STORE_ROWS", "1000000")
            .env("TRAILSEAL_STORE_MONTHS", "100"),
    )
}

fn long_kills() -> Result<(), String> {
    step(
        "retirements killed at random",
        Command::new("cargo")
            .args(["test", "-p", "trailseal-cli", "--test", "retention_kill"])
            .env("TRAILSEAL_KILL_ROUNDS", KILL_ROUNDS),
    )?;
    step(
        "writers, relays and their database killed at random",
        Command::new("cargo")
            .args(["test", "-p", "trailseal-postgres", "--test", "kill", "--test", "outbox", "killed"])
            .env("TRAILSEAL_KILL_ROUNDS", KILL_ROUNDS),
    )
}

fn long_outages(commit: &str) -> Result<(), String> {
    step(
        "a store that fails in every way",
        Command::new("cargo")
            .args(["test", "-p", "trailseal-postgres", "--test", "outage_rounds"])
            .env("TRAILSEAL_OUTAGE_ROUNDS", OUTAGE_ROUNDS)
            .env("TRAILSEAL_COMMIT", commit)
            .env("TRAILSEAL_OUTAGE_RESULTS", root()?.join("crates/postgres/results/outages.txt")),
    )
}

fn long_store_down(commit: &str) -> Result<(), String> {
    cargo(&["build", "--release", "-p", "trailseal-cli"])?;
    step(
        "a store that is down for the length of a million events",
        Command::new("cargo")
            .args(["test", "-p", "trailseal-cli", "--test", "store_down"])
            .env("TRAILSEAL_DOWN_EVENTS", DOWN_EVENTS)
            .env("TRAILSEAL_PROGRAM", root()?.join("target/release/trailseal"))
            .env("TRAILSEAL_COMMIT", commit)
            .env("TRAILSEAL_DOWN_RESULTS", root()?.join("crates/cli/results/store_down.txt")),
    )
}

/// The core's dependencies hold no runtime, HTTP, SQL or Redis crate, and those of `event` no way to files either.
fn house_rules() -> Result<(), String> {
    let runtimes = ["tokio", "hyper", "axum", "rusqlite", "sqlx", "tokio-postgres", "redis", "reqwest"];
    lacks("trailseal-core", &runtimes)?;
    lacks("trailseal-event", &runtimes)?;
    lacks("trailseal-event", &["rustix", "zstd"])?;
    println!("house rules: the core's dependencies point one way");
    Ok(())
}

fn lacks(package: &str, banned: &[&str]) -> Result<(), String> {
    let tree = Command::new("cargo")
        .args(["tree", "-p", package, "-e", "normal", "--prefix", "none"])
        .output()
        .map_err(|error| format!("cargo tree: {error}"))?;
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    match banned.iter().find(|banned| tree.lines().any(|line| line.split(' ').next() == Some(banned))) {
        Some(banned) => Err(format!("{package} must not depend on {banned}")),
        None => Ok(()),
    }
}

fn direction() -> Result<(), String> {
    direction::check(&root()?)?;
    println!("direction: no circle of files, and crates use what the map allows");
    Ok(())
}

fn root() -> Result<std::path::PathBuf, String> {
    std::env::current_dir().map_err(|error| format!("the current folder: {error}"))
}

fn fuzz(seconds: &str) -> Result<(), String> {
    let targets = Command::new("cargo")
        .args(["+nightly", "fuzz", "list"])
        .output()
        .map_err(|error| format!("cargo fuzz: {error}; install it with `cargo install cargo-fuzz`"))?;
    let targets = String::from_utf8_lossy(&targets.stdout).into_owned();
    if targets.trim().is_empty() {
        return Err("cargo fuzz lists no target: install it with `cargo install cargo-fuzz`".into());
    }
    for target in targets.lines() {
        let seeds = format!("fuzz/seeds/{target}");
        let limit = format!("-max_total_time={seconds}");
        cargo(&["+nightly", "fuzz", "run", target, &format!("fuzz/corpus/{target}"), &seeds, "--", &limit])?;
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    step(&format!("cargo {}", arguments.join(" ")), Command::new("cargo").args(arguments))
}

fn step(name: &str, command: &mut Command) -> Result<(), String> {
    println!("== {name}");
    let begun = std::time::Instant::now();
    let status = command.status().map_err(|error| format!("{name}: {error}"))?;
    println!("== {name}: {} s", begun.elapsed().as_secs());
    if status.success() { Ok(()) } else { Err(format!("{name} failed ({status})")) }
}
