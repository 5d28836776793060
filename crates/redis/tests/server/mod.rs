//! A Redis of the tests' own, thrown away afterwards. It keeps nothing on disk, so a killed one has lost everything.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

use std::hash::{BuildHasher as _, RandomState};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_WITHIN: Duration = Duration::from_secs(60);

/// A server on a port of its own.
pub struct Server {
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
    process: Option<Child>,
}

impl Server {
    pub fn start() -> Server {
        Server::with(&[])
    }

    /// With further settings, such as `--requirepass` and a password.
    pub fn with(settings: &[&str]) -> Server {
        let port = free_port();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Server { folder: tempfile::tempdir().unwrap(), port, settings, process: None };
        server.start_again();
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn start_again(&mut self) {
        let mut server = Command::new("redis-server");
        server.arg("--port").arg(self.port.to_string()).args(["--bind", "127.0.0.1", "--save", ""]);
        server.arg("--dir").arg(self.folder.path()).args(&self.settings);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let end = Instant::now() + START_WITHIN;
        self.process = Some(server.spawn().expect("redis-server is installed"));
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < end, "Redis did not start");
            std::thread::sleep(Duration::from_millis(10));
            // Somebody else may still have its port.
            if self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_some()) {
                self.process = Some(server.spawn().expect("redis-server is installed"));
            }
        }
    }

    /// Kills it; what it had is lost.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// What it answers to a command, as `redis-cli` shows it.
    pub fn ask(&self, words: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.arg("-p").arg(self.port.to_string());
        if let Some(at) = self.settings.iter().position(|setting| setting == "--requirepass") {
            cli.env("REDISCLI_AUTH", &self.settings[at + 1]);
        }
        let answer = cli.args(words).output().expect("redis-cli is installed");
        String::from_utf8_lossy(&answer.stdout).trim_end().to_owned()
    }

    /// The names of the keys that there are.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(&["KEYS", "*"]).lines().map(str::to_owned).collect();
        keys.sort();
        keys
    }
}

/// A port on which nobody listens, of those that no outgoing connection is given: between this and the start of the server,
/// anybody may make one.
fn free_port() -> u16 {
    let by_chance = |attempt: u64| 12_000 + (RandomState::new().hash_one(attempt) % 18_000) as u16;
    (0..1_000)
        .map(by_chance)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}
