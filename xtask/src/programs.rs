//! Runs test programs side by side. Cargo runs them one after another, and while one waits for a disk, a browser or a
//! deadline, the other cores idle.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// They take longest, so they begin first: otherwise the last minutes would belong to one of them alone.
const LONG: [&str; 18] = [
    "pytest",
    "retirement_crashes",
    "viewer",
    "known_ids",
    "serve_files",
    "agreement",
    "trailseal_core",
    "trailseal_event",
    "got_through",
    "brute_force",
    "regressions_at_rest",
    "personal_crashes",
    "disk_faults",
    "outage_rounds",
    "kill",
    "store_down",
    "reading",
    "mutation",
];

/// Something that runs beside others, and whose output nobody reads unless it fails.
pub(crate) struct Job {
    name: String,
    command: Command,
}

impl Job {
    pub(crate) fn new(name: impl Into<String>, command: Command) -> Job {
        Job { name: name.into(), command }
    }

    /// Sets a variable of its environment.
    pub(crate) fn set(&mut self, name: &str, value: &Path) {
        self.command.env(name, value);
    }

    /// Its place among the long ones; behind them if it is not one.
    fn rank(&self) -> usize {
        let place = |word| LONG.iter().position(|long| *long == word);
        self.name.split(['/', ' ']).find_map(place).unwrap_or(LONG.len())
    }
}

/// A test program, as cargo reports it.
struct Program {
    package: PathBuf,
    target: String,
    path: PathBuf,
}

/// Builds the test programs of each selection of packages and features, each program once.
pub(crate) fn build(selections: &[&[&str]]) -> Result<Vec<Job>, String> {
    let mut seen = HashSet::new();
    let mut jobs = Vec::new();
    for selection in selections {
        println!("== cargo test --no-run {}", selection.join(" "));
        let built = Command::new("cargo")
            .args(["test", "--no-run", "--message-format", "json-render-diagnostics"])
            .args(*selection)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cargo test --no-run: {error}"))?;
        if !built.status.success() {
            return Err(format!("cargo test --no-run {} failed ({})", selection.join(" "), built.status));
        }
        let programs = String::from_utf8_lossy(&built.stdout).lines().filter_map(program).collect::<Vec<_>>();
        if programs.is_empty() {
            return Err("cargo test --no-run names no test program".into());
        }
        for program in programs.into_iter().filter(|program| seen.insert(program.path.clone())) {
            jobs.push(program.job()?);
        }
    }
    Ok(jobs)
}

/// Reads one of cargo's messages, if it is about a test program.
fn program(message: &str) -> Option<Program> {
    if !message.starts_with(r#"{"reason":"compiler-artifact""#) {
        return None;
    }
    // The target has a field of this name too: whether it may be tested.
    let profile = &message[message.find(r#""profile":{"#)?..];
    if !profile[..profile.find('}')?].contains(r#""test":true"#) {
        return None;
    }
    let manifest = PathBuf::from(text_after(message, r#""manifest_path":""#)?);
    Some(Program {
        package: manifest.parent()?.to_owned(),
        target: text_after(message, r#""name":""#)?,
        path: text_after(message, r#""executable":""#)?.into(),
    })
}

/// The text of a field. A path with a character that JSON escapes is none that a build folder has.
fn text_after(message: &str, field: &str) -> Option<String> {
    let text = &message[message.find(field)? + field.len()..];
    Some(text[..text.find('"')?].to_owned())
}

impl Program {
    /// The command with what cargo would set.
    fn job(self) -> Result<Job, String> {
        let package = self.package.file_name().unwrap_or_default().to_string_lossy();
        let mut command = Command::new(&self.path);
        command
            .current_dir(&self.package)
            .env("CARGO_MANIFEST_DIR", &self.package)
            .env("LD_LIBRARY_PATH", libraries()?);
        Ok(Job::new(format!("{package}/{}", self.target), command))
    }
}

/// Where the compiler's own libraries are: the tests of a procedural macro load them.
fn libraries() -> Result<String, String> {
    static FOLDER: Mutex<Option<String>> = Mutex::new(None);
    let mut folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*folder {
        return Ok(folder.clone());
    }
    let output = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()
        .map_err(|error| format!("rustc --print target-libdir: {error}"))?;
    Ok(folder.insert(String::from_utf8_lossy(&output.stdout).trim().to_owned()).clone())
}

/// Runs all jobs, one more at a time than there are cores, since most of them wait for a disk or a deadline now and then.
/// Says at the end which of them failed.
pub(crate) fn run(mut jobs: Vec<Job>) -> Result<(), String> {
    jobs.sort_by_key(Job::rank);
    let at_a_time = std::thread::available_parallelism().map_or(2, usize::from) + 1;
    println!("== {} test programs, {at_a_time} at a time", jobs.len());
    let begun = Instant::now();
    let waiting = Mutex::new(VecDeque::from(jobs));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while let Some(mut job) = next(&waiting) {
                    let begun = Instant::now();
                    let output = job.command.stdin(Stdio::null()).output();
                    if let Some(why) = told(&job.name, begun.elapsed(), output) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                    }
                }
            });
        }
    });
    println!("== test programs: {} s", begun.elapsed().as_secs());
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn next(waiting: &Mutex<VecDeque<Job>>) -> Option<Job> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Prints a line for what went well, everything for what did not, and returns what failed.
fn told(name: &str, time: Duration, output: std::io::Result<Output>) -> Option<String> {
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("FAILED {name}: {error}");
            return Some(name.to_owned());
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        let passed: usize = said.lines().filter_map(passed).sum();
        println!("ok {:6.1} s {name}: {passed} passed", time.as_secs_f64());
        return None;
    }
    let complained = String::from_utf8_lossy(&output.stderr);
    println!("FAILED {:6.1} s {name} ({})\n{said}\n{complained}", time.as_secs_f64(), output.status);
    Some(name.to_owned())
}

/// How many tests a line of what a test program, or pytest, prints says have passed.
fn passed(line: &str) -> Option<usize> {
    let line = line.strip_prefix("test result: ok. ").unwrap_or_else(|| line.trim_matches(['=', ' ']));
    let (count, what) = line.split_once(' ')?;
    if what.starts_with("passed") { count.parse().ok() } else { None }
}

/// Something else that the build of the tests left beside them.
pub(crate) fn beside(jobs: &[Job], name: &str) -> Result<PathBuf, String> {
    let program = jobs.first().map(|job| Path::new(job.command.get_program())).ok_or("no test program")?;
    let path = program.ancestors().nth(2).ok_or("a test program outside a target folder")?.join(name);
    if path.exists() { Ok(path) } else { Err(format!("{} was not built", path.display())) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn message(kind: &str, is_test: bool, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"path+file:///p/crates/core#0.1.0","manifest_path":"/p/crates/core/Cargo.toml","target":{{"kind":["{kind}"],"crate_types":["bin"],"name":"promises","src_path":"/p/crates/core/tests/promises.rs","edition":"2024","doc":false,"doctest":false,"test":true}},"profile":{{"opt_level":"0","debuginfo":1,"debug_assertions":true,"overflow_checks":true,"test":{is_test}}},"features":[],"filenames":["/p/target/debug/deps/promises-1"],"executable":{executable},"fresh":true}}"#
        )
    }

    #[test]
    fn test_programs_and_nothing_else_are_taken_from_what_cargo_says() {
        let found = program(&message("test", true, r#""/p/target/debug/deps/promises-1""#)).unwrap();
        assert_eq!(found.package, Path::new("/p/crates/core"));
        assert_eq!(
            (found.target.as_str(), found.path),
            ("promises", "/p/target/debug/deps/promises-1".into())
        );
        assert!(program(&message("bin", false, r#""/p/target/debug/promises""#)).is_none());
        assert!(program(&message("lib", true, "null")).is_none());
        assert!(program(r#"{"reason":"build-finished","success":true}"#).is_none());
    }

    #[test]
    fn all_jobs_run_and_those_that_fail_are_named() {
        let shell = |name: &str, script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Job::new(name, command)
        };
        let folder = std::env::temp_dir().join(format!("xtask-programs-{}", std::process::id()));
        let left = |name: &str| format!("touch {}-{name}", folder.display());
        let failed = run(vec![
            shell("first", "echo 'test result: FAILED'; exit 101"),
            shell("second", &left("second")),
            shell("third", "kill -9 $$"),
            shell("fourth", &left("fourth")),
        ]);
        assert_eq!(failed, Err("failed: first, third".to_owned()));
        for name in ["second", "fourth"] {
            std::fs::remove_file(format!("{}-{name}", folder.display())).unwrap();
        }
        assert_eq!(run(vec![shell("alone", "exit 0")]), Ok(()));
        assert_eq!(passed("test result: ok. 19 passed; 0 failed; 0 ignored"), Some(19));
        assert_eq!(passed("===== 602 passed, 3 skipped in 100.01s ====="), Some(602));
        assert_eq!(passed("===== 1 failed, 602 passed in 100.01s ====="), None);
    }
}
