//! The real binary in a fresh folder: what goes in, what comes out on each stream, and the exit code.

// Every test file is a crate of its own and uses its part of this one.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

pub mod aged;
pub mod server;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What the page for browsers says of a bundle. It may take 256 MiB beside the bytes of the bundle.
pub fn in_browser(bundle: &Path, key: &str) -> String {
    let check = "const [code, file, key] = process.argv.slice(1);
        const { checkBundle } = await import(`${code}/bundle.js`);
        const { parseKey } = await import(`${code}/proof.js`);
        const { readFileSync } = await import('node:fs');
        const found = await checkBundle(new Uint8Array(readFileSync(file)), [await parseKey(key)]);
        process.stdout.write(found.state);";
    let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/viewer");
    let output = Command::new("node")
        .args(["--max-old-space-size=256", "--input-type=module", "-e", check, "--"])
        .args([&code, bundle])
        .arg(key)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The samples that the program has built in, and their numbers of lines.
pub const SAMPLES: [(&str, &str, usize); 3] = [
    ("cloudtrail", "aws-cloudtrail.jsonl", 442),
    ("kubernetes", "kubernetes-audit.jsonl", 267),
    ("github", "github-audit.jsonl", 92),
];

/// How long a test waits for something that must happen, which may take a minute on a busy machine, as a lost stream does that is
/// sent again.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Where a sample lies.
pub fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/sample").join(name)
}

/// The program: the one that `TRAILSEAL_PROGRAM` names, such as a release build, or the one that was built with the test.
fn program() -> PathBuf {
    let named = std::env::var_os("TRAILSEAL_PROGRAM");
    named.map_or_else(|| env!("CARGO_BIN_EXE_trailseal").into(), PathBuf::from)
}

/// A fresh folder to run commands in, gone with the test.
pub struct Place {
    folder: tempfile::TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    command: String,
}

impl Place {
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    /// With a trail `trail` of one event for each action.
    pub fn with_events(actions: &[&str]) -> Place {
        let place = Place::new();
        let lines: Vec<String> =
            actions.iter().map(|action| format!("{{\"action\":\"{action}\"}}")).collect();
        place.record(&lines.join("\n"));
        place
    }

    /// With a trail of these events, one a line.
    pub fn with(events: &str) -> Place {
        let place = Place::new();
        place.feed("record", events).ok();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8(std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// The command, in this folder, knowing nothing of the environment outside.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.outfit(Command::new(program()), arguments)
    }

    fn outfit(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).current_dir(self.folder.path());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The same, as a shell starts it after `ulimit` with these words.
    pub fn limited_command(&self, arguments: &[&str], limit: &str) -> Command {
        self.command_after(arguments, Command::new("sh"), &format!("ulimit {limit}"))
    }

    /// The same with a file system of its own, of this size, as `small`; `None` where this system makes none for a test.
    pub fn command_on_small_disk(&self, arguments: &[&str], size: &str) -> Option<Command> {
        std::fs::create_dir_all(self.path("small")).unwrap();
        if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: this system makes no file system for a test");
            return None;
        }
        let mut shell = Command::new("unshare");
        shell.args(["-rm", "sh"]);
        Some(self.command_after(arguments, shell, &format!("mount -t tmpfs -o size={size} tmpfs small")))
    }

    /// The command, as this shell starts it after `before`.
    fn command_after(&self, arguments: &[&str], mut shell: Command, before: &str) -> Command {
        let script = format!("{before} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script]).arg(program());
        self.outfit(shell, arguments)
    }

    /// Runs a command given as words between spaces.
    pub fn run(&self, words: &str) -> Answer {
        self.run_all(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a command whose arguments may have spaces.
    pub fn run_all(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments), b"")
    }

    /// Runs a command with something on its standard input.
    pub fn feed(&self, words: &str, input: impl AsRef<[u8]>) -> Answer {
        let command = self.command(&words.split_whitespace().collect::<Vec<_>>());
        Answer::of(command, input.as_ref())
    }

    /// The same, with arguments that may have spaces.
    pub fn feed_all(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Answer {
        Answer::of(self.command(arguments), input.as_ref())
    }

    /// Records lines that must all be taken; returns the receipts.
    pub fn record(&self, lines: &str) -> Vec<Value> {
        self.feed("record --json", lines).ok().json_lines()
    }

    /// Imports all samples.
    pub fn import_samples(&self) {
        for (format, name, _) in SAMPLES {
            let path = sample(name);
            self.run_all(&["import", "--from", format, path.to_str().unwrap()]).ok();
        }
    }

    /// The one open segment of `trail`.
    pub fn segment(&self) -> PathBuf {
        self.path("trail/segments/00000000000000000000.jsonl")
    }

    /// The lines of that segment, without their ends.
    pub fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(self.segment()).unwrap().lines().map(str::to_owned).collect()
    }

    /// Puts other lines in their place.
    pub fn write_lines(&self, lines: &[String]) {
        let mut text = lines.join("\n");
        text.push('\n');
        std::fs::write(self.segment(), text).unwrap();
    }

    /// Does to the lines of that segment what somebody with root could do.
    pub fn tamper(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut lines = self.lines();
        change(&mut lines);
        self.write_lines(&lines);
    }

    /// The trail's public key.
    pub fn public_key(&self) -> String {
        self.run("key show").ok().out.lines().next().unwrap().to_owned()
    }

    /// A copy of a folder, beside it.
    pub fn copy(&self, from: &str, to: &str) {
        copy_folder(&self.path(from), &self.path(to));
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else if path.is_file() {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// What a command that was started by hand says in the end.
pub fn finish(child: Child) -> Answer {
    let output = child.wait_with_output().unwrap();
    Answer {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        command: String::new(),
    }
}

impl Answer {
    pub fn of(mut command: Command, input: &[u8]) -> Answer {
        let shown = format!("{command:?}");
        command.stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A command that stops early closes its input; that is no failure of the test.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let answer = Answer { command: shown, ..finish(child) };
        feeder.join().unwrap();
        answer
    }

    /// It was done: exit 0.
    #[track_caller]
    pub fn ok(self) -> Answer {
        self.ended(0)
    }

    /// The answer was no: exit 1.
    #[track_caller]
    pub fn no(self) -> Answer {
        self.ended(1)
    }

    /// It could not be done: exit 2, nothing on stdout, and one plain line that has all of `wanted`.
    #[track_caller]
    pub fn could_not(self, wanted: &[&str]) -> Answer {
        let answer = self.ended(2);
        assert_eq!(answer.out, "", "{answer:#?}");
        assert_eq!(answer.err.trim_end().lines().count(), 1, "more than one line: {answer:#?}");
        for text in wanted {
            assert!(answer.err.contains(text), "{text:?} is not said: {answer:#?}");
        }
        answer
    }

    #[track_caller]
    fn ended(self, code: i32) -> Answer {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// stdout as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Each line of stdout as a JSON value.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}")))
            .collect()
    }

    /// One field of each line of stdout.
    #[track_caller]
    pub fn field(&self, name: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.json_lines().iter().map(|value| text(&value[name])).collect()
    }

    /// The first line of stdout.
    pub fn first_line(&self) -> &str {
        self.out.lines().next().unwrap_or_default()
    }
}

/// A process that is ended with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The lines of a running process, waited for with patience.
pub struct Lines(Receiver<String>);

impl Lines {
    pub fn of(stream: impl Read + Send + 'static) -> Lines {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Lines(receiver)
    }

    /// The next line; `None` when there is none any more.
    pub fn next(&self) -> Option<String> {
        self.0.recv().ok()
    }

    /// The next line, if it has come.
    pub fn try_next(&self) -> Option<String> {
        self.0.try_recv().ok()
    }

    /// The next line, which must come.
    #[track_caller]
    pub fn wait(&self) -> String {
        self.0.recv_timeout(PATIENCE).expect("no further line")
    }
}

/// What a running process says on a stream, all of it.
pub struct Said {
    text: Arc<Mutex<String>>,
    reader: std::thread::JoinHandle<()>,
}

impl Said {
    pub fn of(stream: impl Read + Send + 'static) -> Said {
        let text: Arc<Mutex<String>> = Arc::default();
        let told = text.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                told.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Said { text, reader }
    }

    /// Waits until this was said.
    #[track_caller]
    pub fn wait(&self, what: &str) {
        wait_until(what, || self.text.lock().unwrap().contains(what));
    }

    /// Everything, once the process has ended.
    pub fn all(self) -> String {
        self.reader.join().unwrap();
        self.text.lock().unwrap().clone()
    }
}
