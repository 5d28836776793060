//! Each example, run as it stands.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// The example, in the folder `EXAMPLES` if somebody has built all of them, or built now.
fn example(name: &str) -> Command {
    if let Some(built) = std::env::var_os("EXAMPLES") {
        return Command::new(Path::new(&built).join(name));
    }
    let mut cargo = Command::new(env!("CARGO"));
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    cargo.args([
        "run",
        "--quiet",
        "--manifest-path",
        manifest,
        "--features",
        "axum,derive",
        "--example",
        name,
    ]);
    cargo
}

fn run(name: &str, times: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut told = String::new();
    for _ in 0..times {
        let done = example(name).current_dir(folder.path()).output().unwrap();
        told = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{told}\n{}", String::from_utf8_lossy(&done.stderr));
    }
    told
}

#[test]
fn axum_service() {
    let told = run("axum_service", 1);
    assert!(told.contains("anna: HTTP/1.1 204") && told.contains("bo: HTTP/1.1 403"), "{told}");
    for line in ["invoice.approve anna success", "invoice.approve bo denied", "http.post bo denied"] {
        assert!(told.contains(line), "{told}");
    }
}

#[test]
fn batch_job() {
    let told = run("batch_job", 2);
    assert!(told.starts_with("3 paid, 1 failed\nok "), "{told}");
}

#[test]
fn workflow_executor() {
    let told = run("workflow_executor", 1);
    assert_eq!(told, "w1: done\nw2: failed\nw2 failed: step test failed\n9 events\n");
}

#[test]
fn multi_tenant_service() {
    let told = run("multi_tenant_service", 1);
    assert!(told.contains("globex sees [\"document.share \\\"bo\\\" \\\"plan.pdf\\\"\"]"), "{told}");
    assert!(
        told.contains("initech sees []") && told.contains("acme: anna shared a document (Durable)"),
        "{told}"
    );
}
