//! What is to be known of a route.

use axum::http::Method;

use crate::access::Needs;

/// A route and what is to be known of it.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    pub(crate) summary: &'static str,
    /// Parameters of the query besides the filters.
    pub(crate) query: &'static [&'static str],
    /// Whether the filters of a search are parameters, too.
    pub(crate) filters: bool,
    /// The name of the body's schema.
    pub(crate) body: Option<&'static str>,
    /// The status of success and its schema.
    pub(crate) success: (u16, &'static str),
    /// What else it may answer, besides what the table's conditions imply.
    pub(crate) problems: &'static [u16],
    pub(crate) takes: Takes,
}

/// What a route takes that clients share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// No more than a file would.
    Little,
    /// Turns.
    Turns,
    /// A place for as long as the client stays.
    Stream,
}
