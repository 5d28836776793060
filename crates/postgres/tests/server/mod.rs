//! A PostgreSQL of the tests' own, thrown away afterwards. With `TRAILSEAL_TEST_POSTGRES` set to the URL of a superuser, that
//! server is used instead, and each test gets a database of its own there; tests that stop a server, or make roles, start their own, with
//! the programs in `TRAILSEAL_TEST_POSTGRES_PROGRAMS` if that is set.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use trailseal_core::deliver::MustEnd;
use trailseal_postgres::{Connection, StoreUrl};

const START_WITHIN: Duration = Duration::from_secs(60);
const ASK_WITHIN: Duration = Duration::from_secs(60);

/// A server, and a database on it.
pub struct Server {
    own: Option<OwnServer>,
    url: String,
}

struct OwnServer {
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
    settings: Vec<String>,
}

impl Server {
    /// A server for one test, which may share it with others.
    pub fn start() -> Server {
        match std::env::var("TRAILSEAL_TEST_POSTGRES") {
            Ok(url) => Server::database_on(url),
            Err(_) => Server::start_own(&[]),
        }
    }

    /// A server that the test may stop, with further settings such as `max_connections=5`.
    pub fn start_own(settings: &[&str]) -> Server {
        let folder = tempfile::Builder::new().prefix("trailseal-postgres-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if let Some((user, group)) = server_user() {
            for path in [folder.path(), data.as_path()] {
                std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
            }
        }
        let initdb = command("initdb", folder.path())
            .args(["-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(initdb.unwrap().success(), "initdb failed");
        let port = free_port();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut own = OwnServer { folder, port, process: None, settings };
        own.start();
        Server { url: format!("postgres://test@127.0.0.1:{port}/postgres"), own: Some(own) }
    }

    fn database_on(server: String) -> Server {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("trailseal_test_{}_{number}", std::process::id());
        let make = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
        ask(&server, &make);
        let (authority, options) = server.split_once('?').unwrap_or((&server, ""));
        let slash = authority.rfind('/').filter(|at| *at > "postgresql://".len()).unwrap_or(authority.len());
        Server { own: None, url: format!("{}/{name}?{options}", &authority[..slash]) }
    }

    /// The URL of a superuser.
    pub fn url(&self) -> StoreUrl {
        StoreUrl::parse(&self.url).unwrap()
    }

    /// The same as text.
    pub fn url_text(&self) -> &str {
        &self.url
    }

    /// A connection of a superuser.
    pub fn connect(&self) -> Connection {
        self.url().connect(&MustEnd::default()).unwrap()
    }

    /// Executes SQL as a superuser.
    pub fn execute(&self, sql: &str) {
        self.connect().run("execute", ASK_WITHIN, async |client| client.batch_execute(sql).await).unwrap();
    }

    /// The SQLSTATE with which the server refuses SQL of a superuser.
    pub fn refused(&self, sql: &str) -> String {
        let executed =
            self.connect().run("execute", ASK_WITHIN, async |client| client.batch_execute(sql).await);
        match executed {
            Err(trailseal_postgres::StoreError::Postgres { source, .. }) => {
                source.code().unwrap().code().to_owned()
            }
            other => panic!("{sql} is not refused: {other:?}"),
        }
    }

    /// The same, where transactions are read-only by default.
    pub fn execute_writable(&self, sql: &str) {
        let within = "SET default_transaction_read_only = off";
        let mut connection = self.connect();
        for sql in [within, sql] {
            connection.run("execute", ASK_WITHIN, async |client| client.batch_execute(sql).await).unwrap();
        }
    }

    /// The port of a server of its own.
    pub fn port(&self) -> u16 {
        self.own.as_ref().expect("a server of its own").port
    }

    /// From now on this role needs its password.
    pub fn require_password(&self, role: &str) {
        let file = self.own.as_ref().expect("a server of its own").folder.path().join("data/pg_hba.conf");
        let rules = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{rules}")).unwrap();
        self.execute("SELECT pg_reload_conf()");
        let without = StoreUrl::parse(&self.url.replace("test@", &format!("{role}@"))).unwrap();
        until("the rules are read", || without.connect(&MustEnd::default()).is_err());
    }

    /// Changes a setting of the server, and waits until every new connection has it.
    pub fn set(&self, name: &str, value: &str) {
        let change = match value {
            "" => format!("ALTER SYSTEM RESET {name}"),
            value => format!("ALTER SYSTEM SET {name} = {value}"),
        };
        let before = self.value(&format!("SHOW {name}"));
        self.execute_writable(&change);
        self.execute("SELECT pg_reload_conf()");
        until("the setting is read", || self.value(&format!("SHOW {name}")) != before);
    }

    /// Waits until nobody else has a connection to this database, and so everybody has told what it did.
    pub fn wait_alone(&self) {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let mut connection = self.connect();
        until("the others have gone", || rows(&mut connection, others)[0][0] == "0");
    }

    /// The rows of a query, each value as its text; NULL is `∅`.
    pub fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        rows(&mut self.connect(), sql)
    }

    /// The one value that a query gives.
    pub fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql);
        assert!(rows.len() == 1 && rows[0].len() == 1, "{sql} gave {rows:?}");
        rows[0][0].clone()
    }

    /// Kills every process of the server at once.
    pub fn kill(&mut self) {
        let own = self.own.as_mut().expect("a server of its own");
        own.signal_all(libc::SIGSTOP);
        own.signal_all(libc::SIGKILL);
        wait(own.process.take().unwrap());
    }

    /// Stops the server, ending its connections.
    pub fn stop(&mut self) {
        self.own.as_mut().expect("a server of its own").stop();
    }

    /// Starts it again.
    pub fn start_again(&mut self) {
        self.own.as_mut().expect("a server of its own").start();
    }

    /// Stops or continues all its processes. Meanwhile nothing answers, and nothing is closed.
    pub fn freeze(&self, is_frozen: bool) {
        let own = self.own.as_ref().expect("a server of its own");
        own.signal_all(if is_frozen { libc::SIGSTOP } else { libc::SIGCONT });
    }

    /// Ends all connections but the one that asks.
    pub fn cut_off(&self) {
        self.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
    }
}

/// A port on which nobody listens, of those that no outgoing connection is given: between this and the start of the server,
/// anybody may make one.
pub fn free_port() -> u16 {
    let by_chance = |attempt: u64| 12_000 + (RandomState::new().hash_one(attempt) % 18_000) as u16;
    (0..1_000)
        .map(by_chance)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + START_WITHIN;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(own) = &mut self.own {
            if own.process.is_some() {
                own.signal_all(libc::SIGCONT);
                own.stop();
            }
            return;
        }
        let Ok(server) = std::env::var("TRAILSEAL_TEST_POSTGRES") else { return };
        let name = self.url.rsplit('/').next().and_then(|rest| rest.split('?').next()).unwrap_or_default();
        ask(&server, &format!("DROP DATABASE {name} WITH (FORCE)"));
    }
}

impl OwnServer {
    fn start(&mut self) {
        let folder = self.folder.path();
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut server = command("postgres", folder);
        server.arg("-D").arg(folder.join("data"));
        server.arg("-p").arg(self.port.to_string()).arg("-k").arg(folder);
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=32MB"]);
        for setting in &self.settings {
            server.arg("-c").arg(setting);
        }
        server.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        let url = StoreUrl::parse(&format!("postgres://test@127.0.0.1:{}/postgres", self.port)).unwrap();
        let end = Instant::now() + START_WITHIN;
        self.process = Some(server.spawn().unwrap());
        while let Err(error) = url.connect(&MustEnd::default()) {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < end, "PostgreSQL did not start: {error:?}\n{log}");
            std::thread::sleep(Duration::from_millis(20));
            // After a kill the last process of the one before may take a moment to end, and this one does not start beside it.
            if self.process.as_mut().unwrap().try_wait().unwrap().is_some() {
                self.process = Some(server.spawn().unwrap());
            }
        }
    }

    fn stop(&mut self) {
        // Immediate shutdown: what is committed is there again at the next start.
        self.signal(libc::SIGQUIT);
        wait(self.process.take().unwrap());
    }

    fn signal(&self, signal: i32) {
        send(self.process.as_ref().unwrap().id(), signal);
    }

    /// The server first, so that it makes no further ones.
    fn signal_all(&self, signal: i32) {
        let server = self.process.as_ref().unwrap().id();
        // Killed before the others it would leave them without a parent, and so unfound.
        if signal != libc::SIGKILL {
            send(server, signal);
        }
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        for process in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            // PID (NAME) STATE PARENT …
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            if after_name.split_whitespace().nth(1) == Some(&server.to_string()) {
                send(process, signal);
            }
        }
        send(server, signal);
    }
}

fn send(process: u32, signal: i32) {
    // SAFETY: a signal to a child that has not been waited for, or to one of its children.
    #[allow(unsafe_code)]
    unsafe {
        libc::kill(i32::try_from(process).unwrap(), signal);
    }
}

fn wait(mut process: Child) {
    let end = Instant::now() + START_WITHIN;
    while process.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            process.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// PostgreSQL refuses to run as root.
fn server_user() -> Option<(u32, u32)> {
    // SAFETY: asks for a number.
    #[allow(unsafe_code)]
    let user = unsafe { libc::geteuid() };
    if user != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(|number| number.parse().unwrap());
        Some((numbers.next()?, numbers.next()?))
    };
    Some(of("postgres").or_else(|| of("nobody")).expect("a user to run PostgreSQL as"))
}

/// Lets the user that servers run as, and nobody else, read what is in a folder.
pub fn give(folder: &Path) {
    let Some((user, group)) = server_user() else { return };
    let inside = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in inside.chain([folder.to_owned()]) {
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
}

fn command(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(program(name));
    command.current_dir(folder);
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command
}

/// Where a program of PostgreSQL is.
pub fn program(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("TRAILSEAL_TEST_POSTGRES_PROGRAMS") {
        return PathBuf::from(folder).join(name);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    let on_path = std::env::var_os("PATH").into_iter();
    found.extend(
        on_path
            .flat_map(|path| std::env::split_paths(&path).map(|folder| folder.join(name)).collect::<Vec<_>>())
            .filter(|path| path.exists()),
    );
    found.into_iter().next().unwrap_or_else(|| {
        panic!("{name} is missing: install PostgreSQL (Debian: postgresql), or set TRAILSEAL_TEST_POSTGRES")
    })
}

fn ask(url: &str, sql: &str) {
    let mut connection = StoreUrl::parse(url).unwrap().connect(&MustEnd::default()).unwrap();
    connection.run("execute", ASK_WITHIN, async |client| client.batch_execute(sql).await).unwrap();
}

/// The rows of a query, each value as its text; NULL is `∅`.
pub fn rows(connection: &mut Connection, sql: &str) -> Vec<Vec<String>> {
    use tokio_postgres::SimpleQueryMessage::Row;
    let messages = connection.run("ask", ASK_WITHIN, async |client| client.simple_query(sql).await).unwrap();
    let rows = messages.iter().filter_map(|message| if let Row(row) = message { Some(row) } else { None });
    rows.map(|row| (0..row.len()).map(|at| row.get(at).unwrap_or("∅").to_owned()).collect()).collect()
}
