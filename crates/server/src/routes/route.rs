//! What is to be known of a route.

use axum::http::Method;
use trailseal_event::filter::FILTER_NAMES;

use crate::access::Needs;

/// A route and everything known about it.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    pub(crate) summary: &'static str,
    /// Query parameters besides the filters.
    pub(crate) query: &'static [&'static str],
    /// Whether the filters of a search are also parameters.
    pub(crate) filters: bool,
    /// The name of the body's schema.
    pub(crate) body: Option<&'static str>,
    /// The status of success and its schema.
    pub(crate) success: (u16, &'static str),
    /// Other possible responses, besides those implied by the table.
    pub(crate) problems: &'static [u16],
    pub(crate) takes: Takes,
    /// Whether browsers open it by links, which may get parameters of others on their way, as from a newsletter.
    pub(crate) is_linked: bool,
}

impl Route {
    /// The parameters that it knows; `None` if it takes any, which it does not read.
    pub(crate) fn parameters(&self) -> Option<Vec<&'static str>> {
        let filters = FILTER_NAMES.iter().filter(|_| self.filters);
        (!self.is_linked).then(|| self.query.iter().chain(filters).copied().collect())
    }
}

/// The shared resource that a route uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// No more than a file would.
    Little,
    /// Turns.
    Turns,
    /// A place for as long as the client stays.
    Stream,
}
