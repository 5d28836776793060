//! A layer for tower services: every event recorded while a request is handled gets the request's context.
//!
//! ```text
//! request ─> who, from where (request.rs) ─> the service, in that context ─> response ─> one event, if wanted (mutation.rs)
//! ```

mod mutation;
mod request;
mod settings;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use ipnet::IpNet;
use tower_layer::Layer;
use tower_service::Service;

pub use request::PeerAddress;
pub use trailseal_event::client_address::ProxyHeader;

use crate::{Actor, InContext, Trail};
use mutation::{Mutation, watched};
use settings::Settings;

/// Gives every event recorded while a request is handled the request's context: client address, user agent, request id,
/// correlation id, the trace ids of a W3C `traceparent`, and the user and tenant that you name.
///
/// The request id is the header `x-request-id`, or a new one; the correlation id is `x-correlation-id`, or the request id. Any
/// client can set these headers.
///
/// If a handler spawns tasks that belong to the request, wrap them in [`in_context`](crate::in_context).
///
/// ```
/// use trailseal::{Actor, Trail, tower::AuditLayer};
/// # #[derive(Clone)] struct User { id: String, tenant: String }
///
/// let layer = AuditLayer::new(Trail::temporary()?)
///     .trusted_proxies(["10.0.0.0/8"])?
///     .principal(|request| {
///         // Set by the authentication outside this layer.
///         let user = request.extensions.get::<User>()?;
///         Some(Actor::new(&user.id))
///     })
///     .tenant(|request| Some(request.extensions.get::<User>()?.tenant.clone()))
///     .record_mutations();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AuditLayer {
    settings: Settings,
}

/// A text that is not a network such as `10.0.0.0/8`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network: write one such as 10.0.0.0/8, or an address")]
pub struct NetworkError(String);

impl AuditLayer {
    /// A layer for events of this trail.
    pub fn new(trail: Trail) -> Self {
        AuditLayer {
            settings: Settings {
                trail,
                trusted_proxies: Vec::new(),
                proxy_header: ProxyHeader::default(),
                principal: None,
                tenant: None,
                service: None,
                records_mutations: false,
            },
        }
    }

    /// Proxies that are trusted to name the client's address; none by default.
    ///
    /// # Errors
    /// When one is neither a network nor an address.
    pub fn trusted_proxies<'a>(
        mut self,
        networks: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, NetworkError> {
        for text in networks {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            let network = network.map_err(|_| NetworkError(text.to_owned()))?;
            self.settings.trusted_proxies.push(network);
        }
        Ok(self)
    }

    /// The header that these proxies write; `X-Forwarded-For` by default.
    #[must_use]
    pub fn proxy_header(mut self, header: ProxyHeader) -> Self {
        self.settings.proxy_header = header;
        self
    }

    /// How to find who makes a request, from what authentication outside this layer left there. What that refuses never
    /// reaches this layer. Authentication inside it names the user through
    /// [`RequestContext::current`](crate::RequestContext::current). In axum, the last `.layer` is outermost.
    #[must_use]
    pub fn principal(mut self, principal: impl Fn(&Parts) -> Option<Actor> + Send + Sync + 'static) -> Self {
        self.settings.principal = Some(Arc::new(principal));
        self
    }

    /// How to find the tenant of a request.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.settings.tenant = Some(Arc::new(tenant));
        self
    }

    /// The value of `context.service`.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.settings.service = Some(service.into());
        self
    }

    /// Records one event for each request that is not `GET`, `HEAD`, `OPTIONS` or `TRACE`: action `http.post` and so on,
    /// category `data_change`, resource `route/<pattern>` with the feature `axum`, otherwise or without a matching route
    /// `route/<path>`. The status gives the outcome: `denied` for 401 and 403, `failure` for others from 400 on. If the request
    /// is aborted before its response, the outcome is `unknown`; if its handler panics, `failure`.
    ///
    /// The event is one more, beside those that the handler records. The response waits until it has reached the level that the
    /// policy asks for.
    #[must_use]
    pub fn record_mutations(mut self) -> Self {
        self.settings.records_mutations = true;
        self
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = Audited<S>;

    fn layer(&self, inner: S) -> Audited<S> {
        Audited { inner, settings: Arc::new(self.settings.clone()) }
    }
}

/// A service in an [`AuditLayer`].
#[derive(Clone)]
pub struct Audited<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, B, R> Service<Request<B>> for Audited<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Handling<S::Future, S::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let request = request::context(&parts, &self.settings);
        let is_wanted = self.settings.records_mutations && !parts.method.is_safe();
        let mut mutation = is_wanted.then(|| Mutation::new(&parts, request.clone(), &self.settings));
        // What the service does before its future is polled is the request's, too.
        let inner = &mut self.inner;
        let future =
            request.enter(|| watched(&mut mutation, || inner.call(Request::from_parts(parts, body))));
        Handling { future: request.scope(future), mutation, answered: None }
    }
}

/// The future of a response; see [`AuditLayer`].
#[must_use = "futures do nothing unless they are polled"]
pub struct Handling<F, R> {
    future: InContext<F>,
    mutation: Option<Mutation>,
    /// The response, while its event is on its way to the level that the policy asks for.
    answered: Option<(R, crate::ReceiptFuture)>,
}

// Nothing in it is pinned: the future has a place of its own.
impl<F, R> Unpin for Handling<F, R> {}

impl<F, R, E> Future for Handling<F, Response<R>>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.answered.is_none() {
            let Handling { future, mutation, .. } = this;
            let answered = std::task::ready!(watched(mutation, || Pin::new(future).poll(context)));
            let Some(mutation) = this.mutation.take() else { return Poll::Ready(answered) };
            match answered {
                Ok(response) => {
                    let recording = mutation.answered(response.status());
                    this.answered = Some((response, recording));
                }
                Err(error) => {
                    drop(mutation.failed());
                    return Poll::Ready(Err(error));
                }
            }
        }
        if let Some((_, recording)) = &mut this.answered {
            // What was done stays done: that its event was refused is counted, and no reason to answer otherwise.
            let _ = std::task::ready!(Pin::new(recording).poll(context));
        }
        match this.answered.take() {
            Some((response, _)) => Poll::Ready(Ok(response)),
            None => Poll::Pending,
        }
    }
}
