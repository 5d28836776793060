//! The Python package, tested as it is installed: the wheel is built and put into an environment of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::Job;

/// Builds wheels.
const MATURIN: &str = "maturin==1.16.0";
/// Links against an older C library than the machine's own.
const ZIG: &str = "ziglang==0.17.1";
/// The oldest C library that the published wheel runs with: those of Debian 10 and RHEL 8 are not older.
const PLATFORM: &str = "manylinux_2_28";
const WHEEL_BYTES_MAX: u64 = 12_000_000;
/// Checks types as editors do.
const PYRIGHT: &str = "pyright==1.1.414";

/// Builds the wheel, and installs it and what its tests need. Returns what checks types and style, and runs the tests, which
/// write into `scratch`.
pub(crate) fn jobs(root: &Path, scratch: &Path) -> Result<Vec<Job>, String> {
    let (target, package) = (root.join("target"), root.join("python"));
    let environment = environment(&target.join("python"), &package)?;
    let tool = |name: &str| Command::new(environment.join("bin").join(name));
    let wheels = target.join("wheels");
    // An older one must not be tested in its place.
    let _ = std::fs::remove_dir_all(&wheels);
    let python = environment.join("bin/python");
    // With the artifacts of the Rust tests; published wheels are built with --release.
    run(tool("maturin")
        .args(["build", "--quiet", "--profile", "dev", "--interpreter"])
        .arg(&python)
        .arg("--out")
        .arg(&wheels)
        .arg("--manifest-path")
        .arg(package.join("Cargo.toml")))?;
    let wheel = std::fs::read_dir(&wheels).ok().and_then(|mut files| files.next()?.ok());
    let wheel = wheel.ok_or("maturin has built no wheel")?.path();
    let pip =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--force-reinstall", "--no-deps"];
    run(Command::new(&python).args(pip).arg(&wheel))?;
    let job = |name: &str, arguments: &[&str]| {
        let mut command = tool(name);
        command.current_dir(&package).env("TMPDIR", scratch).args(arguments);
        Job::new(format!("python/{name} {}", arguments.join(" ")), command)
    };
    let interpreter = python.to_string_lossy();
    Ok(vec![
        job("pytest", &["tests"]),
        job("ruff", &["check", "--quiet", "."]),
        job("ruff", &["format", "--quiet", "--check", "."]),
        job("mypy", &["--strict", "trailseal", "tests"]),
        job("pyright", &["--pythonpath", &interpreter]),
    ])
}

/// Builds the wheel as it is published, into `target/published`, and returns its path.
pub(crate) fn wheel(root: &Path) -> Result<PathBuf, String> {
    let (target, package) = (root.join("target"), root.join("python"));
    let programs = environment(&target.join("python"), &package)?.join("bin");
    run(Command::new(programs.join("python")).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        ZIG,
    ]))?;
    let published = target.join("published");
    let _ = std::fs::remove_dir_all(&published);
    // Maturin looks for Zig's Python in the path.
    let path = std::env::var("PATH").unwrap_or_default();
    run(Command::new(programs.join("maturin"))
        .env("PATH", format!("{}:{path}", programs.display()))
        .args(["build", "--quiet", "--release", "--zig", "--compatibility", PLATFORM, "--interpreter"])
        .arg(programs.join("python"))
        .arg("--out")
        .arg(&published)
        .arg("--manifest-path")
        .arg(package.join("Cargo.toml")))?;
    let wheel = std::fs::read_dir(&published).ok().and_then(|mut files| files.next()?.ok());
    let wheel = wheel.ok_or("maturin has built no wheel")?;
    let size = wheel.metadata().map_err(|error| format!("{}: {error}", wheel.path().display()))?.len();
    println!("{}: {size} bytes", wheel.path().display());
    if !wheel.file_name().to_string_lossy().contains(PLATFORM) {
        return Err(format!("the wheel is not for {PLATFORM}"));
    }
    if size > WHEEL_BYTES_MAX {
        return Err(format!("a wheel may have {WHEEL_BYTES_MAX} bytes"));
    }
    Ok(wheel.path())
}

/// An environment with the tools and what the tests need.
fn environment(folder: &Path, package: &Path) -> Result<PathBuf, String> {
    let requirements = package.join("requirements-test.txt");
    let wanted = std::fs::read_to_string(&requirements)
        .map_err(|error| format!("{}: {error}", requirements.display()))?;
    let wanted = format!("{MATURIN}\n{PYRIGHT}\n{wanted}");
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(folder.to_owned());
    }
    println!("== installing what the Python tests need");
    let _ = std::fs::remove_dir_all(folder);
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run(Command::new(folder.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", MATURIN, PYRIGHT, "-r"])
        .arg(&requirements))?;
    std::fs::write(&installed, wanted).map_err(|error| format!("{}: {error}", installed.display()))?;
    Ok(folder.to_owned())
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed")) }
}
