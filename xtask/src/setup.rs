//! What the tests need on a fresh Debian machine.

use std::path::Path;
use std::process::Command;

/// A program or file that a test needs, and the Debian package that brings it.
struct Need {
    package: &'static str,
    is_there: fn() -> bool,
}

const NEEDS: [Need; 15] = [
    Need { package: "golang-go", is_there: || runs("go", &["version"]) },
    Need {
        package: "golang-golang-x-mod-dev",
        is_there: || exists("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog"),
    },
    Need { package: "strace", is_there: || runs("strace", &["-V"]) },
    Need { package: "zstd", is_there: || runs("zstd", &["--version"]) },
    Need { package: "python3", is_there: || runs("python3", &["--version"]) },
    Need { package: "python3-venv", is_there: || runs("python3", &["-c", "import ensurepip, venv"]) },
    // The viewer is looked at in a real browser.
    Need { package: "chromium", is_there: || exists("/usr/bin/chromium") },
    Need { package: "nodejs", is_there: || runs("node", &["--version"]) },
    Need { package: "npm", is_there: || runs("npm", &["--version"]) },
    Need { package: "prometheus", is_there: || runs("promtool", &["--version"]) },
    Need { package: "curl", is_there: || runs("curl", &["--version"]) },
    // The Python package records changes in a real one.
    Need { package: "postgresql", is_there: || exists("/usr/lib/postgresql") },
    // The store is reached through it, too.
    Need { package: "pgbouncer", is_there: || exists("/usr/sbin/pgbouncer") },
    Need { package: "redis-server", is_there: || runs("redis-server", &["--version"]) },
    Need { package: "sqlite3", is_there: || runs("sqlite3", &["--version"]) },
];

/// What is no Debian package comes from PyPI, into an environment of its own: DuckDB reads what we export, and
/// schemathesis asks the server.
const PYTHON: [&str; 2] = ["duckdb==2.0.0", "schemathesis==4.32.5"];

/// An object store to archive to; only the long tests need it.
const MOTO: [&str; 1] = ["moto[server]==5.2.5"];

/// Drives the browser. Without a browser of its own: Debian's is used.
const PLAYWRIGHT: &str = "playwright-core@1.64.1";

/// Installs what is missing. Needs root (or `sudo`) only if something is.
pub(crate) fn install_missing() -> Result<(), String> {
    install_packages()?;
    install_python(&strangers()?, &PYTHON)?;
    install_playwright()
}

/// Installs an S3-compatible server, if it is missing; returns its program.
pub(crate) fn install_moto() -> Result<std::path::PathBuf, String> {
    install_packages()?;
    // What it needs goes badly with what the others need.
    let folder = strangers()?.with_file_name("moto");
    install_python(&folder, &MOTO)?;
    Ok(folder.join("bin/moto_server"))
}

/// Where things are installed that are no Debian packages: beside what was built, where this program itself lies.
fn strangers() -> Result<std::path::PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| format!("xtask: {error}"))?;
    Ok(program.ancestors().nth(2).ok_or("xtask: not in a target folder")?.join("strangers"))
}

fn install_playwright() -> Result<(), String> {
    let folder = strangers()?;
    let (name, version) = PLAYWRIGHT.split_once('@').ok_or("no version of Playwright is named")?;
    let manifest = folder.join("node_modules").join(name).join("package.json");
    let is_there = std::fs::read_to_string(manifest)
        .is_ok_and(|manifest| manifest.contains(&format!("\"version\": \"{version}\"")));
    if is_there {
        return Ok(());
    }
    println!("== installing {PLAYWRIGHT}");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    run(Command::new("npm").arg("install").arg("--prefix").arg(&folder).args([
        "--no-audit",
        "--no-fund",
        "--silent",
        PLAYWRIGHT,
    ]))
}

fn install_packages() -> Result<(), String> {
    let missing: Vec<&str> =
        NEEDS.iter().filter(|need| !(need.is_there)()).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("== installing {}", missing.join(" "));
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments)?;
    match NEEDS.iter().find(|need| !(need.is_there)()) {
        Some(need) => Err(format!("{} is still missing after its installation", need.package)),
        None => Ok(()),
    }
}

fn install_python(folder: &Path, wanted: &[&str]) -> Result<(), String> {
    let python = folder.join("bin/python3");
    let is_there = |wanted: &str| {
        let check = "import sys; from importlib.metadata import version; name, wanted = sys.argv[1].split('=='); \
            sys.exit(version(name.split('[')[0]) != wanted)";
        runs(&python.to_string_lossy(), &["-c", check, wanted])
    };
    if wanted.iter().all(|wanted| is_there(wanted)) {
        return Ok(());
    }
    println!("== installing {}", wanted.join(" "));
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python).args(pip).args(wanted))
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed")) }
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let mut command = if is_root {
        Command::new("apt-get")
    } else {
        let mut command = Command::new("sudo");
        command.arg("apt-get");
        command
    };
    let status = command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .map_err(|error| format!("apt-get: {error}; this set-up needs Debian"))?;
    if status.success() { Ok(()) } else { Err(format!("apt-get {} failed", arguments.join(" "))) }
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

fn exists(path: &str) -> bool {
    std::path::Path::new(path).exists()
}
