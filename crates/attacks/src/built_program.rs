//! The built program in a fresh folder.
//!
//! Only tests use this, and it panics by design: where the disk, the clock or the program's answer is not what an attack
//! needs, the test must fail there and say so (see the crate's head).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::folder::{Folder, copy_all};

/// The time limit for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(180);

/// One trail, or a folder of slots of which the first is the trail under attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `trail/`
    One,
    /// `trail/0/`
    Slots,
}

/// A folder to run commands in, removed with the test.
pub struct Place {
    root: tempfile::TempDir,
    /// The folder in which commands run, below `root`.
    home: &'static str,
    /// What the trail's folder is.
    pub kind: Kind,
    settings: Vec<(String, String)>,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Answer {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Its arguments.
    pub command: String,
}

/// The program under attack: the one that `ATTACKS_PROGRAM` names, or the one beside this test, rebuilt if it is older
/// than its source.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(path) = std::env::var_os("ATTACKS_PROGRAM") {
            return path.into();
        }
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let name = profile.file_name().unwrap().to_str().unwrap();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--workspace", "--bins"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        build.args(["--profile", if name == "debug" { "dev" } else { name }]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        // What cargo tells this test about its own crate: build scripts that read it would run again.
        let of_this_crate = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        for (name, _) in std::env::vars_os() {
            if of_this_crate.iter().any(|start| name.to_string_lossy().starts_with(start)) {
                build.env_remove(name);
            }
        }
        assert!(build.status().unwrap().success(), "the program cannot be built");
        profile.join("trailseal")
    })
}

/// In memory if there is room: hundreds of openings with all their syncs take minutes on a disk, and none of the
/// attacks is about power loss.
fn fresh_folder() -> tempfile::TempDir {
    const IN_MEMORY: &str = "/dev/shm";
    const ROOM_BYTES: u64 = 512 << 20;
    let room = rustix::fs::statvfs(IN_MEMORY).map_or(0, |data| data.f_bavail * data.f_frsize);
    if room > ROOM_BYTES { tempfile::tempdir_in(IN_MEMORY).unwrap() } else { tempfile::tempdir().unwrap() }
}

impl Place {
    /// An empty place.
    pub fn new(kind: Kind) -> Place {
        Place::named(kind, "")
    }

    /// An empty place in a folder of this name.
    pub fn named(kind: Kind, home: &'static str) -> Place {
        let place = Place { root: fresh_folder(), home, kind, settings: Vec::new() };
        std::fs::create_dir_all(place.path("")).unwrap();
        place
            .with("TRAILSEAL_ORIGIN", "example.com/attacked")
            .with("TRAILSEAL_HANDOFF__SIZE", "1MiB")
            .with("TRAILSEAL_WORKERS", if kind == Kind::One { "one" } else { "slots" })
    }

    /// Adds a setting, as an environment variable; a later one wins.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Place {
        self.set(name, value);
        self
    }

    /// Adds a setting for the commands that follow.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(held, _)| held != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// The same folder with everything in it, somewhere else.
    pub fn copy(&self) -> Place {
        let root = fresh_folder();
        copy_all(self.root.path(), root.path());
        Place { root, home: self.home, kind: self.kind, settings: self.settings.clone() }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(self.home).join(name)
    }

    /// The folder of the trail under attack.
    pub fn trail(&self) -> Folder {
        Folder(self.path(if self.kind == Kind::One { "trail" } else { "trail/0" }))
    }

    /// That trail's origin.
    pub fn origin(&self) -> String {
        let origin = &self.settings.iter().find(|(name, _)| name == "TRAILSEAL_ORIGIN").unwrap().1;
        if self.kind == Kind::One { origin.clone() } else { format!("{origin}/0") }
    }

    /// The command, with none of the environment outside.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_with(&self.settings, arguments)
    }

    fn command_with(&self, settings: &[(String, String)], arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.path(""));
        command.env_clear().envs(settings.iter().map(|(name, value)| (name, value)));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command.
    pub fn run(&self, arguments: &[&str]) -> Answer {
        self.feed(arguments, "")
    }

    /// Runs a command with this standard input.
    pub fn feed(&self, arguments: &[&str], input: &str) -> Answer {
        self.feed_with(&self.settings, arguments, input)
    }

    fn feed_with(&self, settings: &[(String, String)], arguments: &[&str], input: &str) -> Answer {
        let mut command = self.command_with(settings, arguments);
        let shown = arguments.join(" ");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        // What is written here fits into a pipe; a command that stops early closes it, which is not a failure.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let guard = Guard::over(&child);
        let output = child.wait_with_output().unwrap();
        drop(guard);
        Answer {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: shown,
        }
    }

    /// Runs a command on the trail itself, even if it is a slot.
    pub fn run_on_trail(&self, arguments: &[&str]) -> Answer {
        let (origin, folder) = (self.origin(), self.trail().0);
        let mut alone = self.settings.clone();
        alone.retain(|(name, _)| {
            !["TRAILSEAL_ORIGIN", "TRAILSEAL_WORKERS", "TRAILSEAL_DIR"].contains(&name.as_str())
        });
        let own = [("TRAILSEAL_ORIGIN", origin.as_str()), ("TRAILSEAL_DIR", folder.to_str().unwrap())];
        alone.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self.feed_with(&alone, arguments, "")
    }

    /// Records an event for each action and waits until all are durable.
    pub fn record(&self, actions: &[&str]) -> Answer {
        let events: String = actions.iter().map(|action| format!("{{\"action\":\"{action}\"}}\n")).collect();
        self.feed(&["record", "--json", "--ack", "durable"], &events)
    }

    /// Records that many events in one opening, all of which must be acknowledged as durable.
    #[track_caller]
    pub fn session(&self, name: &str, events: usize) -> Vec<String> {
        let actions: Vec<String> = (0..events).map(|number| format!("{name}.{number}")).collect();
        let answer = self.record(&actions.iter().map(String::as_str).collect::<Vec<_>>()).ok();
        let ids = answer.ids();
        assert_eq!(ids.len(), events, "{answer:#?}");
        ids
    }

    /// `verify` with a key and optionally a checkpoint that were kept elsewhere.
    pub fn verify(&self, key: &str, kept: Option<&Path>) -> Answer {
        let mut arguments = vec!["verify", "--json", "--public-key", key];
        if let Some(path) = kept {
            arguments.extend(["--checkpoint", path.to_str().unwrap()]);
        }
        self.run(&arguments)
    }

    /// Starts `record` and leaves it running.
    pub fn writer(&self) -> Writer {
        let mut child = self
            .command(&["record", "--json", "--ack", "durable"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, receipts) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Writer { input: child.stdin.take(), child, receipts }
    }

    /// Records in one opening in which nothing is signed, and kills it once everything is durable and in the index:
    /// that many lines are left without a checkpoint.
    #[track_caller]
    pub fn killed_session(&mut self, name: &str, events: usize) -> Vec<String> {
        let every = self.settings.iter().find(|(name, _)| name == "TRAILSEAL_SEAL__EVERY_MS").cloned();
        self.set("TRAILSEAL_SEAL__EVERY_MS", "3000000");
        let mut writer = self.writer();
        for number in 0..events {
            writer.send(&format!("{{\"action\":\"{name}.{number}\"}}"));
        }
        let ids: Vec<String> = (0..events).map(|_| id_of(&writer.receipt())).collect();
        let lines = self.trail().lines().len() as u64;
        wait_until("the index has all lines", || self.trail().index_cursor() == Some(lines));
        writer.kill();
        self.settings.retain(|(name, _)| name != "TRAILSEAL_SEAL__EVERY_MS");
        self.settings.extend(every);
        ids
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn id_of(receipt: &str) -> String {
    let receipt: Value = serde_json::from_str(receipt).unwrap_or_else(|error| panic!("{error}: {receipt:?}"));
    receipt["id"].as_str().unwrap_or_else(|| panic!("{receipt}")).to_owned()
}

impl Answer {
    /// It succeeded: exit 0.
    #[track_caller]
    pub fn ok(self) -> Answer {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// The verdict was no: exit 1, and the finding is one of these.
    #[track_caller]
    pub fn finds(self, problems: &[&str]) -> Answer {
        assert_eq!(self.code, Some(1), "{self:#?}");
        let found: Vec<String> = self.problems();
        assert!(
            found.iter().any(|problem| problems.contains(&problem.as_str())),
            "not {problems:?}: {self:#?}"
        );
        self
    }

    /// It was refused: exit 2, and the output contains all of `wanted`.
    #[track_caller]
    pub fn refused(self, wanted: &[&str]) -> Answer {
        assert_eq!(self.code, Some(2), "{self:#?}");
        for text in wanted {
            assert!(self.err.contains(text), "{text:?} is not said: {self:#?}");
        }
        self
    }

    /// The command did not report that all is well.
    #[track_caller]
    pub fn not_clean(self) -> Answer {
        assert!(matches!(self.code, Some(1 | 2)), "neither a finding nor a refusal: {self:#?}");
        self
    }

    /// The ids in receipts.
    pub fn ids(&self) -> Vec<String> {
        self.out.lines().map(id_of).collect()
    }

    /// stdout as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or(Value::Null)
    }

    /// The problem of each trail in a verdict.
    pub fn problems(&self) -> Vec<String> {
        let verdict = self.json();
        let trails = verdict["trails"].as_array().cloned().unwrap_or_else(|| vec![verdict]);
        trails.iter().filter_map(|trail| trail["problem"].as_str().map(str::to_owned)).collect()
    }
}

/// A running `record`.
pub struct Writer {
    child: Child,
    input: Option<ChildStdin>,
    receipts: Receiver<String>,
}

impl Writer {
    /// Sends an event. A process that has died accepts none, and that is not a failure.
    pub fn send(&mut self, event: &str) {
        let _ = writeln!(self.input.as_mut().unwrap(), "{event}");
    }

    /// The next receipt; fails if none comes.
    #[track_caller]
    pub fn receipt(&self) -> String {
        self.receipts.recv_timeout(PATIENCE).expect("a receipt")
    }

    /// The id in the next receipt.
    #[track_caller]
    pub fn receipt_id(&self) -> String {
        id_of(&self.receipt())
    }

    /// Ends its input and waits for it to succeed.
    #[track_caller]
    pub fn close(mut self) {
        drop(self.input.take());
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "the writer ends well");
    }

    /// Kills it with SIGKILL, and returns the ids in the receipts that were not read yet.
    pub fn kill(mut self) -> Vec<String> {
        drop(self.child.kill());
        self.child.wait().unwrap();
        let begun = Instant::now();
        let mut ids = Vec::new();
        loop {
            match self.receipts.recv_timeout(PATIENCE) {
                Ok(line) if line.ends_with('}') => ids.push(id_of(&line)),
                // The kill may tear the last one: nobody has seen it.
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return ids,
                Err(RecvTimeoutError::Timeout) => panic!("no end after {:?}", begun.elapsed()),
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Ends a command that hangs, so that a test fails instead of waiting forever.
struct Guard(Option<std::sync::mpsc::Sender<()>>, Option<std::thread::JoinHandle<()>>);

impl Guard {
    fn over(child: &Child) -> Guard {
        let (done, wait) = channel::<()>();
        let process = child.id();
        let watcher = std::thread::spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // The guard is dropped as soon as the child is reaped, so the process id is still the child's.
                let _ = Command::new("kill").args(["-9", &process.to_string()]).status();
            }
        });
        Guard(Some(done), Some(watcher))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.take());
        drop(self.1.take().map(std::thread::JoinHandle::join));
    }
}
