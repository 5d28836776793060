//! Anchors: places outside the trail that receive each new checkpoint.
//!
//! Whoever keeps one later checkpoint elsewhere can prove a rollback, so checkpoints leave the machine from the first
//! day. A slow or failing anchor never slows sealing: what it missed is counted, and the next checkpoint covers all
//! earlier ones.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::counters::Counters;
use crate::file::Files;
use crate::notice::{Notice, OnNotice};

/// Checkpoints that wait for a slow anchor; more are skipped.
const WAITING_MAX: usize = 64;
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// A place outside the trail that keeps its checkpoints.
#[derive(Clone, PartialEq, Eq)]
pub enum Anchor {
    /// Each new checkpoint is appended to this file.
    File(PathBuf),
    /// Each new checkpoint is passed to this shell command on its standard input.
    Command(String),
}

impl std::fmt::Debug for Anchor {
    /// Without the text of a command, which may hold a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Anchor::File(path) => formatter.debug_tuple("File").field(path).finish(),
            Anchor::Command(_) => formatter.write_str("Command(..)"),
        }
    }
}

impl Anchor {
    /// What it is, for messages, as the one of this number. Never the text of a command, which may hold a secret.
    fn described(&self, number: usize) -> String {
        match self {
            Anchor::File(path) => format!("number {number}, the file {}", path.display()),
            Anchor::Command(_) => format!("number {number}, a command"),
        }
    }
}

/// The sending side, and the thread that serves the anchors.
pub(crate) struct Anchors {
    sender: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    skipped: Arc<AnchorCounters>,
}

struct AnchorCounters(std::sync::atomic::AtomicU64);

impl Anchors {
    /// Starts a thread if there are anchors.
    pub(crate) fn start(
        anchors: Vec<Anchor>,
        files: Arc<dyn Files>,
        on_notice: Option<OnNotice>,
    ) -> io::Result<Self> {
        let skipped = Arc::new(AnchorCounters(0.into()));
        if anchors.is_empty() {
            return Ok(Anchors { sender: None, thread: None, skipped });
        }
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let failures = skipped.clone();
        let thread = std::thread::Builder::new()
            .name("trailseal-anchor".into())
            .spawn(move || serve(&anchors, &*files, &receiver, &failures, &on_notice))?;
        Ok(Anchors { sender: Some(sender), thread: Some(thread), skipped })
    }

    /// Passes on a checkpoint without waiting.
    pub(crate) fn send(&self, note: String) {
        if let Some(sender) = &self.sender
            && sender.try_send(note).is_err()
        {
            self.skipped.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Waits until everything sent was tried, but not beyond `deadline`, and adds the failures to `counters`. Late
    /// deliveries continue until the process ends.
    pub(crate) fn finish(mut self, counters: &Counters, deadline: Instant) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        counters.anchor_failures.add(self.skipped.0.load(std::sync::atomic::Ordering::Relaxed));
    }
}

fn serve(
    anchors: &[Anchor],
    files: &dyn Files,
    checkpoints: &Receiver<String>,
    failures: &AnchorCounters,
    on_notice: &Option<OnNotice>,
) {
    while let Ok(note) = checkpoints.recv() {
        for (before, anchor) in anchors.iter().enumerate() {
            let done = match anchor {
                // Followed by an empty line, so that the file can be split into notes again.
                Anchor::File(path) => files.append_to(path, format!("{note}\n").as_bytes()),
                Anchor::Command(command) => run(command, &note),
            };
            if let Err(error) = done {
                failures.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if let Some(on_notice) = on_notice {
                    on_notice(&Notice::AnchorFailed {
                        reason: format!("{}: {error}", anchor.described(before + 1)),
                    });
                }
            }
        }
    }
}

fn run(command: &str, note: &str) -> io::Result<()> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input may still do its work; its exit status decides.
        let _ = stdin.write_all(note.as_bytes());
    }
    let deadline = Instant::now() + COMMAND_TIMEOUT;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(format!("ended with {status}"))),
            None if Instant::now() >= deadline => {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::other("did not end within 30 seconds"));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
