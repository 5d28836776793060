//! Whether the interpreter has a global lock, as a cfg.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
