//! What the tests need on a fresh Debian machine.

use std::process::Command;

/// A program or file that a test needs, and the Debian package that brings it.
struct Need {
    package: &'static str,
    is_there: fn() -> bool,
}

const NEEDS: [Need; 5] = [
    Need { package: "golang-go", is_there: || runs("go", &["version"]) },
    Need {
        package: "golang-golang-x-mod-dev",
        is_there: || exists("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog"),
    },
    Need { package: "strace", is_there: || runs("strace", &["-V"]) },
    Need { package: "zstd", is_there: || runs("zstd", &["--version"]) },
    Need { package: "python3", is_there: || runs("python3", &["--version"]) },
];

/// Installs what is missing. Needs root (or `sudo`) only if something is.
pub(crate) fn install_missing() -> Result<(), String> {
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
