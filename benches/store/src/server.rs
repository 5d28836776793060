//! A PostgreSQL and a PgBouncer of the measurement's own.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trailseal_core::deliver::MustEnd;
use trailseal_postgres::{Connection, StoreUrl};

/// As docs/store.md advises; everything else is PostgreSQL's default, `fsync` and `synchronous_commit` among it.
pub const SETTINGS: [&str; 1] = ["shared_buffers=2GB"];

const START_WITHIN: Duration = Duration::from_secs(60);
pub const WITHIN: Duration = Duration::from_secs(3_600);

pub struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts one on `dir/data`, made if it is not there.
    pub fn start(dir: &Path) -> Server {
        let data = dir.join("data");
        own(dir);
        if !data.exists() {
            let made = command("initdb")
                .args(["-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
                .arg(&data)
                .stdout(Stdio::null())
                .status();
            assert!(made.expect("initdb runs").success(), "initdb failed");
        }
        let port = free_port();
        let mut server = command("postgres");
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-k"]).arg(dir);
        server.args(["-c", "listen_addresses=127.0.0.1"]);
        for setting in SETTINGS {
            server.args(["-c", setting]);
        }
        let log = std::fs::File::create(dir.join("log")).expect("a log can be made");
        server.stdin(Stdio::null()).stdout(log.try_clone().expect("cloned")).stderr(log);
        let server = Server { process: server.spawn().expect("PostgreSQL starts"), port };
        wait_for(&server.url("postgres"));
        server
    }

    pub fn url(&self, database: &str) -> StoreUrl {
        url(self.port, database)
    }

    pub fn connect(&self, database: &str) -> Connection {
        self.url(database).connect(&MustEnd::default()).expect("it lets us in")
    }

    pub fn make_database(&self, name: &str) -> StoreUrl {
        execute(&mut self.connect("postgres"), &format!("CREATE DATABASE {name}"));
        self.url(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A fast shutdown: a later start recovers nothing.
        stop(&mut self.process, libc::SIGINT);
    }
}

/// A pooler in transaction mode before a server.
pub struct PgBouncer {
    process: Child,
    port: u16,
}

impl PgBouncer {
    pub fn start(dir: &Path, server: &Server) -> PgBouncer {
        let port = free_port();
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} dbname=postgres user=test\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 5\n",
            server.port
        );
        let file = dir.join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("settings can be written");
        let mut command = Command::new("/usr/sbin/pgbouncer");
        if let Some((user, group)) = server_user() {
            command.uid(user).gid(group);
        }
        let process = command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = process.spawn().expect("install PgBouncer (Debian: pgbouncer)");
        let bouncer = PgBouncer { process, port };
        wait_for(&bouncer.url());
        bouncer
    }

    pub fn url(&self) -> StoreUrl {
        url(self.port, "postgres")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        stop(&mut self.process, libc::SIGTERM);
    }
}

/// Executes SQL.
pub fn execute(connection: &mut Connection, sql: &str) {
    connection
        .run("execute", WITHIN, async |client| client.batch_execute(sql).await)
        .expect("it is executed");
}

/// The first value of the first row, as text.
pub fn value(connection: &mut Connection, sql: &str) -> String {
    let messages = connection.run("ask", WITHIN, async |client| client.simple_query(sql).await);
    let messages = messages.expect("it is answered");
    let row = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row.and_then(|row| row.get(0)).expect("a value").to_owned()
}

pub fn number(connection: &mut Connection, sql: &str) -> f64 {
    value(connection, sql).parse().expect("a number")
}

fn url(port: u16, database: &str) -> StoreUrl {
    StoreUrl::parse(&format!("postgres://test@127.0.0.1:{port}/{database}")).expect("a URL")
}

fn wait_for(url: &StoreUrl) {
    let end = Instant::now() + START_WITHIN;
    while let Err(error) = url.connect(&MustEnd::default()) {
        assert!(Instant::now() < end, "it did not start: {error:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn stop(process: &mut Child, signal: i32) {
    // SAFETY: a signal to a child of ours that has not been waited for.
    unsafe { libc::kill(process.id() as i32, signal) };
    let _ = process.wait();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port()
}

fn command(name: &str) -> Command {
    let mut command = Command::new(programs().join(name));
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command
}

fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("TRAILSEAL_BENCH_POSTGRES") {
        return folder.into();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).max();
    newest.expect("install PostgreSQL (Debian: postgresql)")
}

/// PostgreSQL refuses to run as root.
fn server_user() -> Option<(u32, u32)> {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("a user postgres");
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().expect("a number"));
    Some((numbers.next()?, numbers.next()?))
}

fn own(dir: &Path) {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).expect("ours");
    if let Some((user, group)) = server_user() {
        chown(dir, Some(user), Some(group)).expect("ours to give");
    }
}
