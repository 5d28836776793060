//! What requests pass before their handlers: the rate of their address, the parameters of their route, and a place of
//! their client.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Extension, MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::route::Takes;
use crate::access::Caller;
use crate::body::Accompanied;
use crate::config::Config;
use crate::fairness::{Asker, Full, Places, Rates};
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use crate::query::Query;

/// Passes on a request for which its client has a place, which it holds until the whole response is sent. This comes
/// before anything else, so that refusing a flood is cheap.
pub(super) async fn share(
    State((places, takes)): State<(Arc<Places>, Takes)>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let client = caller.client();
    let (shares, kind, what) = match takes {
        Takes::Stream => (&places.streams, Kind::Streams, "streams"),
        Takes::Little | Takes::Turns => (&places.turning, Kind::Turns, "requests of this kind"),
    };
    let mut place = shares.begin(client.clone());
    place.grow(1).map_err(|full| {
        let detail = match full {
            Full::Whole => format!("too many {what} are in progress: try again in a moment"),
            Full::OfClient => {
                format!("you have too many {what} in progress: try again when one of them has ended")
            }
        };
        Problem::new(kind, detail).retry_after(1)
    })?;
    let response = Asker::new(&places.turns, client).during(next.run(request)).await;
    Ok(response.map(|body| Body::new(Accompanied::new(body, place))))
}

/// Passes on a request with no parameters but these. Whoever misspells a parameter, or assumes one, would get something other
/// than they asked for: `dry_run=true` at the end of an address would be no dry run.
pub(super) async fn known(
    State(names): State<Arc<[&'static str]>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.uri().query().is_some() {
        Query::of(request.uri())?.only(&names)?;
    }
    Ok(next.run(request).await)
}

/// Sees every request.
pub(crate) struct Observer {
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) rates: Rates,
}

/// Counts every request, and adds the headers for browsers to each response.
pub(super) async fn observe(State(observer): State<Arc<Observer>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let is_rated = observer.rates.allow(&observer.config, request.extensions().get(), request.headers());
    let is_text = percent_encoding::percent_decode_str(request.uri().path()).decode_utf8().is_ok();
    let mut response = match (is_rated, is_text) {
        (true, true) => next.run(request).await,
        (true, false) => Problem::new(Kind::Path, "the path is not UTF-8").into_response(),
        (false, _) => {
            let detail = "too many requests from this address: try again in a moment";
            Problem::new(Kind::Rate, detail).retry_after(1).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let route = route.as_deref().unwrap_or("none");
    observer.metrics.request(route, response.status().as_u16(), begun.elapsed().as_secs_f64());
    response
}
