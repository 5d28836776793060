//! The policy while a trail runs: which one is in force, and changing it.

pub(super) mod current;
pub(super) mod in_force;
pub(super) mod switch;
