//! Reading a trail's folder, in any process, while another one writes it.

pub(super) mod closed_handoff;
pub(super) mod line_at;
pub(super) mod personal_keys_in;
pub(super) mod reader;
