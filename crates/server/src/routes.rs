//! Every route, in one table: its path, what it needs, what it takes and what it returns. The router, the reference in
//! `/openapi.json` and the test of tenant isolation are all generated from it.

use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post, put};

use crate::access::{Caller, Needs, Scope, check};
use crate::app::Shared;
use crate::problem::Problem;
use crate::shares::{Full, HeldBody};
use crate::turns::Asker;
use crate::{admin, health, metrics, openapi, read, record, reviews, viewer};

use Needs::{Nothing, Tiles, WholeTrail};
use Scope::{Admin, Read, Review, Write};

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
    takes: Takes,
    handler: fn() -> MethodRouter<Shared>,
}

/// The shared resource that a route uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// No more than a file would.
    Little,
    /// Turns.
    Turns,
    /// A place for as long as the client stays.
    Stream,
}

macro_rules! route {
    ($method:ident $path:literal, $needs:expr, $summary:literal, $handler:expr
        $(, query $query:expr)? $(, filters $filters:literal)? $(, body $body:literal)?, gives $status:literal $schema:literal
        $(, or $problems:expr)? $(, takes $takes:expr)?) => {{
        #[allow(unused_mut, unused_assignments)]
        let mut route = Route {
            method: Method::$method,
            path: $path,
            needs: $needs,
            summary: $summary,
            query: &[],
            filters: false,
            body: None,
            success: ($status, $schema),
            problems: &[],
            takes: Takes::Little,
            handler: || $handler,
        };
        $(route.query = $query;)?
        $(route.filters = $filters;)?
        $(route.body = Some($body);)?
        $(route.problems = $problems;)?
        $(route.takes = $takes;)?
        route
    }};
}

/// All scopes.
pub(crate) fn table() -> Vec<Route> {
    vec![
        route!(POST "/v1/events", Needs::Scope(Write), "Record one event, an array, or NDJSON", post(record::post),
            query &["ack", "strict"], body "Events", gives 202 "Accepted", or &[400, 408, 409, 413, 415, 422, 503, 504]),
        route!(GET "/v1/events", Needs::Scope(Read), "Find events", get(read::events),
            query &["limit", "cursor", "order", "order_by", "count"], filters true, gives 200 "Page", or &[400, 422], takes Takes::Turns),
        route!(GET "/v1/events/stream", Needs::Scope(Read), "New events as they arrive, as server-sent events", get(read::stream),
            query &["cursor"], filters true, gives 200 "Stream", or &[400], takes Takes::Stream),
        route!(GET "/v1/events/{id}", Needs::Scope(Read), "One event", get(read::one),
            query &["tenant", "origin"], gives 200 "Event", or &[300, 304, 400, 404, 422, 503], takes Takes::Turns),
        route!(GET "/v1/events/{id}/proof", Needs::Scope(Read), "The proof that an event is in the trail", get(read::proof),
            query &["tenant", "origin"], gives 200 "Proof", or &[300, 400, 404, 409, 422, 503], takes Takes::Turns),
        route!(GET "/v1/events/{id}/verify", Needs::Scope(Read), "What the server says about an event's proof", get(read::verify),
            query &["tenant", "origin"], gives 200 "Verified", or &[300, 400, 404, 409, 422, 503], takes Takes::Turns),
        route!(GET "/v1/resources/{type}/{id}/history", Needs::Scope(Read), "The history of one resource", get(read::history),
            query &["limit", "cursor", "order", "order_by", "tenant"], gives 200 "Page", or &[400, 422], takes Takes::Turns),
        route!(GET "/v1/summary", Needs::Scope(Read), "Counts by field, and over time", get(read::summary),
            query &["top", "bucket"], filters true, gives 200 "Summary", or &[400, 422], takes Takes::Turns),
        route!(GET "/v1/origins", WholeTrail(Read), "Every trail, its size and newest checkpoint", get(read::origins),
            gives 200 "Origins", takes Takes::Turns),
        route!(GET "/v1/reviews", Needs::Scope(Review), "The review queue", get(reviews::list),
            query &["state", "before"], gives 200 "Reviews", or &[400], takes Takes::Turns),
        route!(POST "/v1/reviews", Needs::OneOf(&[Write, Review, Admin]), "Request a review of an event", post(reviews::request),
            body "ReviewRequest", gives 201 "Review", or &[400, 404, 408, 413, 415, 422, 503], takes Takes::Turns),
        route!(POST "/v1/reviews/{id}", Needs::Scope(Review), "Approve or reject", post(reviews::decide),
            body "Decision", gives 200 "Review", or &[400, 404, 408, 409, 413, 415, 422, 503, 504], takes Takes::Turns),
        route!(POST "/v1/viewer-tokens", Needs::Scope(Read), "A short-lived token to embed the viewer", post(admin::create_viewer_token),
            body "ViewerRequest", gives 201 "Token", or &[400, 408, 413, 415, 422]),
        route!(GET "/v1/policy", WholeTrail(Admin), "The policy in force, as TOML", get(admin::policy), gives 200 "Policy"),
        route!(PUT "/v1/policy", WholeTrail(Admin), "Put a policy in force", put(admin::set_policy),
            body "Policy", gives 200 "Policy", or &[202, 400, 408, 413, 415, 422, 503]),
        route!(GET "/v1/tokens", WholeTrail(Admin), "All tokens, without their secrets", get(admin::tokens), gives 200 "Tokens"),
        route!(POST "/v1/tokens", WholeTrail(Admin), "Make a token", post(admin::create_token),
            body "TokenRequest", gives 201 "Token", or &[400, 408, 409, 413, 415, 422]),
        route!(DELETE "/v1/tokens/{name}", WholeTrail(Admin), "Revoke a token", delete(admin::revoke_token),
            gives 204 "Nothing", or &[404]),
        route!(POST "/v1/keys/rotate", WholeTrail(Admin), "Replace the signing key", post(admin::rotate_key), gives 200 "Key"),
        route!(GET "/v1/stats", WholeTrail(Read), "Statistics and health", get(health::stats), gives 200 "Object", takes Takes::Turns),
        route!(GET "/admin/audit/stats", WholeTrail(Read), "Submitted, succeeded, failed", get(health::admin_stats),
            gives 200 "AdminStats"),
        route!(GET "/metrics", WholeTrail(Read), "Metrics for Prometheus", get(metrics::metrics), gives 200 "Text", takes Takes::Turns),
        route!(GET "/checkpoint", Tiles, "The newest signed checkpoint", get(read::checkpoint), gives 200 "Text"),
        route!(GET "/tile/{*path}", Tiles, "A tile of hashes (C2SP tlog-tiles)", get(read::tile), gives 200 "Bytes", or &[404], takes Takes::Turns),
        route!(GET "/tile/entries/{*path}", WholeTrail(Read), "A bundle of lines", get(read::entries),
            gives 200 "Bytes", or &[404], takes Takes::Turns),
        route!(GET "/origins/{*path}", Tiles, "Checkpoint and tiles of one of the trails", get(read::of_origin),
            gives 200 "Bytes", or &[404], takes Takes::Turns),
        route!(GET "/healthz", Nothing, "The process responds", get(health::healthz), gives 200 "Object"),
        route!(GET "/readyz", Nothing, "Events would be accepted", get(health::readyz), gives 200 "Object", or &[503]),
        route!(GET "/openapi.json", Nothing, "This reference", get(openapi::json), gives 200 "Object", or &[304]),
        route!(GET "/docs", Nothing, "This reference, for people", get(viewer::docs), gives 200 "Text", or &[304]),
        route!(GET "/", Nothing, "The viewer", get(viewer::page), gives 200 "Text", or &[304]),
        route!(GET "/assets/{name}", Nothing, "A file of the viewer", get(viewer::asset), gives 200 "Bytes", or &[304, 404]),
    ]
}

/// The router of the table.
pub(crate) fn router(app: Shared) -> Router {
    let mut router = Router::new();
    for route in table() {
        let mut handler = (route.handler)();
        if route.takes != Takes::Little {
            handler = handler.layer(middleware::from_fn_with_state((app.clone(), route.takes), share));
        }
        let checked = handler.layer(middleware::from_fn_with_state((app.clone(), route.needs), check));
        router = router.route(route.path, checked);
    }
    router
        .fallback(|| async { Problem::not_found("there is no such path: /docs lists them") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "this path does not support this method: see /docs",
            )
        })
        // Whoever needs the body reads it, with the limit of the settings.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

/// Passes on a request for which its client has a place, which it holds until the whole response is sent. This comes
/// before anything else, so that refusing a flood is cheap.
async fn share(
    State((app, takes)): State<(Shared, Takes)>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let client = caller.client();
    let (places, kind, what) = match takes {
        Takes::Stream => (&app.streams, "streams", "streams"),
        Takes::Little | Takes::Turns => (&app.places, "turns", "requests of this kind"),
    };
    let mut place = places.begin(client.clone());
    place.grow(1).map_err(|full| {
        let detail = match full {
            Full::Whole => format!("too many {what} are in progress: try again in a moment"),
            Full::OfClient => {
                format!("you have too many {what} in progress: try again when one of them has ended")
            }
        };
        Problem::new(StatusCode::TOO_MANY_REQUESTS, kind, detail).retry_after(1)
    })?;
    let response = Asker::new(&app.turns, client).during(next.run(request)).await;
    Ok(response.map(|body| Body::new(HeldBody { body, _place: place })))
}

/// Counts every request, and adds the headers for browsers to each response.
async fn observe(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let is_rated = crate::listen::is_within_rate(&app, request.extensions().get(), request.headers());
    let is_text = percent_encoding::percent_decode_str(request.uri().path()).decode_utf8().is_ok();
    let mut response = match (is_rated, is_text) {
        (true, true) => next.run(request).await,
        (true, false) => Problem::bad_request("path", "the path is not UTF-8").into_response(),
        (false, _) => {
            let detail = "too many requests from this address: try again in a moment";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate", detail).retry_after(1).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let route = route.as_deref().unwrap_or("none");
    app.metrics.request(route, response.status().as_u16(), begun.elapsed().as_secs_f64());
    response
}
