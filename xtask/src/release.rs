//! What a release has: the program, the Python wheel, the page that checks evidence, and their hashes.

use std::path::Path;
use std::process::Command;

use crate::{cargo, python, step};

/// The page that checks bundles and proofs in a browser, as one file.
const CHECK_PAGE: &str = "check.html";
const HASHES: &str = "SHA256SUMS";

/// Empties `target/release-files` and builds everything into it.
pub(crate) fn build(root: &Path) -> Result<(), String> {
    let folder = root.join("target/release-files");
    let told = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(told(&folder))?;
    }
    std::fs::create_dir_all(&folder).map_err(told(&folder))?;
    step(
        "the page that checks evidence",
        Command::new("node").arg(root.join("crates/server/check-page.mjs")).arg(folder.join(CHECK_PAGE)),
    )?;
    // Wherever else builds go on this machine: what is copied below is what was built here.
    cargo(&["build", "--release", "--locked", "--package", "trailseal-cli", "--target-dir", "target"])?;
    let platform = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let program = format!("trailseal-{}-{platform}", env!("CARGO_PKG_VERSION"));
    let built = root.join("target/release/trailseal");
    std::fs::copy(&built, folder.join(&program)).map_err(told(&built))?;
    let wheel = python::wheel(root)?;
    let wheel_name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    std::fs::copy(&wheel, folder.join(&wheel_name)).map_err(told(&wheel))?;
    let hashes = Command::new("sha256sum")
        .current_dir(&folder)
        .args([CHECK_PAGE, &program, &wheel_name])
        .output()
        .map_err(|error| format!("sha256sum: {error}"))?;
    if !hashes.status.success() {
        return Err(format!("sha256sum failed: {}", String::from_utf8_lossy(&hashes.stderr).trim()));
    }
    let sums = folder.join(HASHES);
    std::fs::write(&sums, &hashes.stdout).map_err(told(&sums))?;
    println!("{}", String::from_utf8_lossy(&hashes.stdout).trim_end());
    println!("release of {}: in {}", commit()?, folder.display());
    Ok(())
}

/// What it was built from, and whether that was changed since.
pub(crate) fn commit() -> Result<String, String> {
    let described = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let described = described.map_err(|error| format!("git describe: {error}"))?.stdout;
    Ok(String::from_utf8_lossy(&described).trim().to_owned())
}
