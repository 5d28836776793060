//! Progress bars on stderr for long work, if stderr is a terminal.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `total` bytes; hidden if stderr is not a terminal.
pub(crate) fn bytes(what: &'static str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
}

/// A bar over `total` events; hidden if stderr is not a terminal.
pub(crate) fn events(what: &'static str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {bar:30} {human_pos}/{human_len} {eta}")
}

/// A spinner for work of unknown length; hidden if stderr is not a terminal.
pub(crate) fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, target()).with_message(what);
    spinner.enable_steady_tick(std::time::Duration::from_millis(120));
    spinner
}

fn target() -> ProgressDrawTarget {
    match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    }
}

fn bar(what: &'static str, total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target()).with_message(what);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
