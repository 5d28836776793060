//! From the table of routes to the router and the reference.

mod layers;
mod openapi;
mod reference;
mod route;
mod router;
mod state;
mod table;

#[cfg(test)]
pub(crate) use route::Takes;
pub(crate) use router::router;
pub(crate) use state::App;
#[cfg(test)]
pub(crate) use table::table;
