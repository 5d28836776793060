//! Makes a module of each block that has a patch.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "src/lib.rs"]
#[allow(dead_code, unreachable_pub)]
mod document;

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=document.md");
    println!("cargo::rerun-if-changed=patches");
    println!("cargo::rerun-if-changed=src/lib.rs");
    let out = std::env::var("OUT_DIR").unwrap();
    let mut modules = String::new();
    for block in document::blocks(&std::fs::read_to_string("document.md").unwrap()) {
        let name = format!("block_{:02}", block.number);
        let Ok(diff) = std::fs::read_to_string(format!("patches/{name}.patch")) else { continue };
        let patched = document::patch(&block.text, &diff).unwrap_or_else(|what| panic!("{name}: {what}"));
        let path = Path::new(&out).join(format!("{name}.rs"));
        std::fs::write(&path, patched.text).unwrap();
        writeln!(modules, "#[path = {path:?}]\nmod {name};").unwrap();
    }
    std::fs::write(Path::new(&out).join("blocks.rs"), modules).unwrap();
}
