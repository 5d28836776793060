//! Set-up and the full test run.
fn main() {}
