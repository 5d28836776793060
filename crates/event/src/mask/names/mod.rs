//! Secrets by the name of their key: which names there are, and what each does to what stands below it.

pub(super) mod effect;
mod member;
pub(super) mod named_values;
pub(super) mod paths;
pub(super) mod secret_names;
pub(super) mod whole_event;
pub(super) mod words;
