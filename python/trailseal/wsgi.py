"""WSGI middleware: every event that is recorded while a request is handled gets its context.

It works with every WSGI framework. For Flask, :mod:`trailseal.flask` sets it up; Django has
:mod:`trailseal.django`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import RequestContext, Trail
from ._client_address import ProxyHeader, networks
from ._recording import record
from ._request import SAFE_METHODS, Mutation, Settings, context_of, headers_of
from ._types import Actor, Id
from .context import entered

__all__ = ["CONTEXT_KEY", "AuditMiddleware", "Environ"]

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

#: Where a request's context stands in its environ.
CONTEXT_KEY = "trailseal.context"


class AuditMiddleware:
    """The same as :class:`trailseal.asgi.AuditMiddleware` in WSGI's form. ``principal`` and ``tenant`` are called
    with the environ of each request; ``route`` finds the pattern of a request's route when its response begins."""

    def __init__(
        self,
        app: App,
        trail: Trail,
        *,
        trusted_proxies: Iterable[str] = (),
        proxy_header: ProxyHeader = "x-forwarded-for",
        principal: Callable[[Environ], Actor | None] | None = None,
        tenant: Callable[[Environ], Id | None] | None = None,
        service: str | None = None,
        record_mutations: bool = False,
        route: Callable[[Environ], str | None] | None = None,
    ) -> None:
        self.app = app
        self.trail = trail
        self._route = route
        self._settings: Settings[Environ] = Settings(
            trusted_proxies=networks(trusted_proxies),
            proxy_header=proxy_header,
            principal=principal,
            tenant=tenant,
            service=service,
            records_mutations=record_mutations,
        )

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if isinstance(environ.get(CONTEXT_KEY), RequestContext):
            # Of an application that is mounted in another: the request has its context.
            return self.app(environ, start_response)
        context = self._context(environ)
        environ[CONTEXT_KEY] = context
        method = environ.get("REQUEST_METHOD", "GET")
        if not self._settings.records_mutations or method in SAFE_METHODS:
            with entered(context):
                return _within(self.app(environ, start_response), context, environ)
        mutation = Mutation(method, environ.get("PATH_INFO", ""))

        def start_recorded(status: str, *args: Any) -> Any:
            if mutation.is_open:
                with entered(context):
                    fields = mutation.answered(int(status[:3]), self._route_of(environ))
                    record(self.trail, mutation.action, fields)
            return start_response(status, *args)

        def ended(error: BaseException | None) -> None:
            if mutation.is_open:
                route = self._route_of(environ)
                fields = mutation.given_up(route) if error is None else mutation.failed(error, route)
                record(self.trail, mutation.action, fields)

        with entered(context):
            try:
                body = self.app(environ, start_recorded)
                return _within(body, context, environ, ended)
            except BaseException as error:
                ended(error)
                raise

    def _route_of(self, environ: Environ) -> str | None:
        return None if self._route is None else self._route(environ)

    def _context(self, environ: Environ) -> RequestContext:
        peer = environ.get("REMOTE_ADDR") or None
        return context_of(self._settings, environ, peer, headers_of(environ))


def _within(
    body: Iterable[bytes],
    context: RequestContext,
    environ: Environ,
    ended: Callable[[BaseException | None], None] = lambda error: None,
) -> Iterable[bytes]:
    """What an application yields while its response is sent is the request's, too. ``ended`` is called with the error
    that it ends by, and with none when it is closed."""
    file_wrapper = environ.get("wsgi.file_wrapper")
    is_file = isinstance(file_wrapper, type) and isinstance(body, file_wrapper)
    # A list is there already, and a file is sent by the server.
    return body if is_file or isinstance(body, list | tuple) else _Body(body, context, ended)


class _Body:
    def __init__(
        self, body: Iterable[bytes], context: RequestContext, ended: Callable[[BaseException | None], None]
    ) -> None:
        self._body = body
        self._chunks: Iterator[bytes] | None = None
        self._context = context
        self._ended = ended

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        with entered(self._context):
            try:
                if self._chunks is None:
                    self._chunks = iter(self._body)
                return next(self._chunks)
            except StopIteration:
                raise
            except BaseException as error:
                # A generator runs here, and may fail before it begins its response.
                self._ended(error)
                raise

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        with entered(self._context):
            try:
                if close is not None:
                    close()
            finally:
                # What never began a response was given up.
                self._ended(None)
