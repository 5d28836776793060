//! Secrets inside texts, by their form: `anchors.rs` and `simd.rs` find candidates in one pass over a whole event;
//! `scan.rs` examines one text by `tokens.rs`, `card_numbers.rs`, `pairs.rs`, `command_lines.rs` and `statements.rs`.

pub(super) mod anchors;
pub(super) mod card_numbers;
mod command_lines;
pub(super) mod examined_text;
mod multi_line;
pub(super) mod pair_values;
pub(super) mod pairs;
pub(super) mod scan;
pub(super) mod simd;
mod statements;
pub(super) mod token_prefixes;
pub(super) mod tokens;
