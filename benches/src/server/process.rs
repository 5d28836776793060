//! Servers as processes, and what they take.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Of processor time in /proc, a second has so many, on every Linux that we run on.
const TICKS: f64 = 100.0;

/// A server that runs until it is dropped.
pub struct Program {
    child: Child,
    pub address: SocketAddr,
    pub token: String,
}

impl Program {
    /// `trailseal serve` on a fresh trail, with settings from the environment.
    pub fn server(dir: &Path, settings: &[(&str, &str)]) -> Program {
        let dir = dir.join("server");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("the folder can be made");
        let mut command = Command::new(program());
        command.args(["serve", "--listen", "127.0.0.1:0", "--dir", "trail"]).current_dir(dir);
        // To the server, names of the benches are settings that it does not know.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"TRAILSEAL_") {
                command.env_remove(name);
            }
        }
        command.envs(settings.iter().copied());
        Program::start(command)
    }

    /// Bare axum, in a process of this program.
    pub fn reference(dir: &Path, ack: &str) -> Program {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.arg("server-reference").arg(dir).arg(ack);
        Program::start(command)
    }

    /// An endpoint of an application, in a process of this program.
    pub fn endpoint(dir: &Path, kind: &str) -> Program {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.arg("layer-endpoint").arg(dir).arg(kind);
        Program::start(command)
    }

    fn start(mut command: Command) -> Program {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("listening on http://")?.parse().ok());
        let token = lines.find_map(|line| Some(line[line.find("tsl_")?..].to_owned()));
        let (address, token) = address.zip(token).expect("the server says where it listens, and its token");
        Program { child, address, token }
    }

    /// Seconds of processor time so far.
    pub fn cpu(&self) -> f64 {
        cpu(&self.child.id().to_string())
    }

    /// Resident memory in MiB, and its highest so far.
    pub fn memory_mib(&self) -> (f64, f64) {
        crate::load::memory_mib_of(&self.child.id().to_string())
    }

    /// Anonymous memory in MiB: what the server itself holds, not the files that it has mapped.
    pub fn own_memory_mib(&self) -> f64 {
        crate::load::own_memory_mib_of(&self.child.id().to_string())
    }

    /// Makes a token.
    pub fn with_token(&self, name: &str, scopes: &[&str]) -> String {
        let body = serde_json::json!({"name": name, "scopes": scopes}).to_string();
        let mut stream = TcpStream::connect(self.address).expect("the server answers");
        let (token, length) = (&self.token, body.len());
        let head = "POST /v1/tokens HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        write!(stream, "{head}Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}")
            .expect("the server reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the server writes");
        let token = text.rsplit_once("\"token\":\"").and_then(|(_, rest)| rest.split('"').next());
        token.expect("a token").to_owned()
    }

    /// A number that the server gives in `/metrics`; 0 where it does not.
    pub fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.address).expect("the server answers");
        let token = &self.token;
        let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        write!(stream, "{head}Authorization: Bearer {token}\r\n\r\n").expect("the server reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the server writes");
        let line = text
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of processor time that this process has taken.
pub fn own_cpu() -> f64 {
    cpu("self")
}

fn cpu(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name before it may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// The program that is measured: `TRAILSEAL_BENCH_PROGRAM`, or the release build.
pub fn program() -> PathBuf {
    let built = || {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"));
        target.join("release/trailseal")
    };
    let path = std::env::var_os("TRAILSEAL_BENCH_PROGRAM").map_or_else(built, PathBuf::from);
    assert!(path.exists(), "{} is not there: cargo build --release -p trailseal-cli", path.display());
    path.canonicalize().expect("a path")
}
