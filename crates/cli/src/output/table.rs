//! How a table fits a terminal: which columns there is room for, and texts cut to their column.

use std::io;

use trailseal_core::clock::{Clock as _, SystemClock};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

const WIDTH_WITHOUT_TERMINAL: usize = 80;
/// Narrower terminals see a table that is too wide.
const WIDTH_MIN: usize = 40;
/// The longest outcome.
const OUTCOME_WIDTH: usize = 7;
/// From these widths on there is room for the day and the second of each event.
const WIDTH_WITH_DAY: usize = 60;
const WIDTH_WITH_SECONDS: usize = 96;
/// From these widths on there is room for who, and for what it was done to.
const WIDTH_WITH_ACTOR: usize = 50;
const WIDTH_WITH_RESOURCE: usize = 72;

/// What stands in one row, before the outcome.
pub(super) struct Cells<'a> {
    pub(super) index: &'a str,
    /// `2026-11-21 04:00:00.000000Z`
    pub(super) time: &'a str,
    pub(super) actor: &'a str,
    pub(super) action: &'a str,
    pub(super) resource: &'a str,
}

/// The header.
pub(super) const TITLES: Cells<'static> =
    Cells { index: "index", time: "", actor: "actor", action: "action", resource: "resource" };

/// Widths of the columns; 0 for one that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    index: usize,
    time: Time,
    /// The present one.
    year: String,
    actor: usize,
    action: usize,
    resource: usize,
}

/// Which part of a time is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time {
    from: usize,
    to: usize,
    title: &'static str,
}

const TO_THE_SECOND: Time = Time { from: 0, to: 19, title: "time (UTC)" };
const DAY_AND_MINUTE: Time = Time { from: 5, to: 16, title: "time (UTC)" };
const OF_THE_DAY: Time = Time { from: 11, to: 16, title: "UTC" };

impl Layout {
    /// For a terminal of `width` columns and indexes below `end`.
    pub(super) fn new(width: usize, end: u64) -> Self {
        let width = width.max(WIDTH_MIN);
        let index = end.saturating_sub(1).to_string().len().max(TITLES.index.len());
        let time = match width {
            WIDTH_WITH_SECONDS.. => TO_THE_SECOND,
            WIDTH_WITH_DAY.. => DAY_AND_MINUTE,
            _ => OF_THE_DAY,
        };
        let columns = 1 + usize::from(width >= WIDTH_WITH_ACTOR) + usize::from(width >= WIDTH_WITH_RESOURCE);
        // Each column but the last has a space behind it.
        let taken = index + 1 + time.width() + 1 + OUTCOME_WIDTH + columns;
        let rest = width.saturating_sub(taken);
        let share = rest * if columns == 3 { 3 } else { 5 } / 10;
        let (actor, resource) = match columns {
            1 => (0, 0),
            2 => (share, 0),
            _ => (share, rest - 2 * share),
        };
        let year = SystemClock.now().to_string().chars().take(4).collect();
        Layout { index, time, year, actor, action: rest - actor - resource, resource }
    }

    pub(super) fn cells(&self, cells: &Cells<'_>) -> String {
        let time = if cells.time.is_empty() { self.time.title } else { self.time.of(cells.time, &self.year) };
        let mut row = format!("{:>1$}", cells.index, self.index);
        let columns = [
            (time, self.time.width()),
            (cells.actor, self.actor),
            (cells.action, self.action),
            (cells.resource, self.resource),
        ];
        for (text, width) in columns.into_iter().filter(|(_, width)| *width > 0) {
            row.push(' ');
            row.push_str(&fitted(text, width));
        }
        row
    }

    /// What stands before a note, so that it begins below the time.
    pub(super) fn indent(&self) -> String {
        " ".repeat(self.index)
    }

    /// How long a note may be.
    pub(super) fn note_width(&self) -> usize {
        let columns = [self.time.width(), self.actor, self.action, self.resource];
        columns.iter().filter(|width| **width > 0).map(|width| width + 1).sum::<usize>() + OUTCOME_WIDTH
    }
}

impl Time {
    fn width(self) -> usize {
        self.to - self.from
    }

    /// `year` is the present one, which goes without saying.
    fn of<'a>(self, time: &'a str, year: &str) -> &'a str {
        let shown = match self {
            DAY_AND_MINUTE if !time.starts_with(year) => time.get(..10),
            _ => time.get(self.from..self.to),
        };
        shown.unwrap_or(time)
    }
}

/// How wide a table may be: the terminal, or what `COLUMNS` says where there is none.
pub(crate) fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    let said = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    terminal.or_else(said).unwrap_or(WIDTH_WITHOUT_TERMINAL)
}

/// Text that fills exactly `width` columns, cut with an ellipsis if it is longer.
fn fitted(text: &str, width: usize) -> String {
    let mut text = cut(&printable(text), width);
    text.extend(std::iter::repeat_n(' ', width.saturating_sub(text.width())));
    text
}

/// Text of at most `width` columns, with an ellipsis where it was cut.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        out.push(character);
        used += wide;
    }
    out.push('…');
    out
}

/// Control characters in events must not reach a terminal: they could rewrite what is shown.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                '\u{fffd}'
            }
            '\u{2028}' | '\u{2029}' => ' ',
            character if character.is_control() => ' ',
            character => character,
        })
        .collect()
}

/// The same of rows of CSV, in which line ends stay.
pub(crate) fn printable_csv(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let lines = text.split_inclusive('\n').map(|line| match line.strip_suffix('\n') {
        Some(line) => printable(line) + "\n",
        None => printable(line),
    });
    lines.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_fill_their_column_whatever_the_text() {
        for (text, wanted) in [
            ("abc", "abc   "),
            ("abcdef", "abcdef"),
            ("abcdefg", "abcde…"),
            ("日本語日本", "日本… "),
            ("a\x1b[2J", "a [2J "),
            ("a\u{202e}b", "a\u{fffd}b   "),
        ] {
            assert_eq!(fitted(text, 6), wanted);
            assert_eq!(fitted(text, 6).width(), 6);
        }
    }

    #[test]
    fn a_row_fits_every_width() {
        let long = "x".repeat(300);
        let row = Cells {
            index: "1234567",
            time: "2026-11-21 04:00:00.000000Z",
            actor: &long,
            action: &long,
            resource: &long,
        };
        for width in WIDTH_MIN..300 {
            let layout = Layout::new(width, 1_234_568);
            for cells in [&row, &TITLES] {
                let text = layout.cells(cells);
                assert_eq!(text.width() + 1 + OUTCOME_WIDTH, width, "{text}");
            }
            assert!(layout.action >= 10, "{layout:?} at {width}");
            assert_eq!(layout.indent().len() + 1 + layout.note_width(), width);
        }
    }

    #[test]
    fn narrow_terminals_keep_what_matters_most() {
        let shown =
            |width| Layout::new(width, 10).cells(&TITLES).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(shown(40), "index UTC action");
        assert_eq!(shown(50), "index UTC actor action");
        assert_eq!(shown(80), "index time (UTC) actor action resource");
    }
}
