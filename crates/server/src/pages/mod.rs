//! Pages for browsers, which are in the program itself.

mod fixed;
mod protection;
mod viewer;

pub(crate) use fixed::FixedPage;
pub(crate) use protection::Protection;
pub(crate) use viewer::{asset, page};
