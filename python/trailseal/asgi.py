"""Pure-ASGI middleware: every event that is recorded while a request is handled gets its context.

It works with every ASGI framework. For FastAPI and Starlette, :mod:`trailseal.fastapi` sets it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from . import RequestContext, Trail, request_context
from ._client_address import ProxyHeader, networks
from ._lifespan import App, Message, Receive, Scope, Send, closing
from ._recording import hand_in, let_go, reached
from ._request import SAFE_METHODS, Mutation, Settings, context_of
from ._trailseal import Awaited
from ._types import Actor, Id
from .context import entered

__all__ = ["CONTEXT_KEY", "TRAIL_KEY", "AuditMiddleware", "CloseAtShutdown", "Scope"]

#: Where a request's context stands in its scope: for handlers that run outside of every middleware.
CONTEXT_KEY = "trailseal"
#: Where the trail stands.
TRAIL_KEY = "trailseal.trail"
#: Where a route leaves what is to be recorded once the status of its response is known: functions of the status, which is
#: ``None`` if there is no response. Only there if a route has said with `want_status` that it uses it.
STATUS_KEY = "trailseal.status"

_status_is_wanted = False


def want_status() -> None:
    """Lets every request have a list under `STATUS_KEY`; without it, a request costs less."""
    global _status_is_wanted
    _status_is_wanted = True


#: Records an event by the status of the response.
ByStatus = Callable[[int | None], Awaited | None]


class AuditMiddleware:
    """Gives every event that is recorded while a request is handled the request's context: client address, user
    agent, request id, correlation id, trace ids of a W3C ``traceparent``, and, as you say, who it is and of which
    tenant.

    ``trusted_proxies``: whose word on the client's address is believed, such as ``["10.0.0.0/8"]``; nobody's by
    default.
    ``proxy_header``: the header that they write, ``x-forwarded-for`` or ``forwarded``.
    ``principal``, ``tenant``: called with the scope of each request; what an authentication in front of this
    middleware has put there. One behind it calls :func:`trailseal.context.set_actor`.
    ``service``: stands in ``context.service``.
    ``record_mutations``: one event for each request that is not GET, HEAD, OPTIONS or TRACE, with an outcome by
    its status: ``denied`` for 401 and 403, ``failure`` for others from 400 on. One that is given up before it is
    answered has the outcome ``unknown``, one whose handler raises is a failure.
    ``close``: close the trail when the server shuts down (``lifespan.shutdown``). uvicorn ends the process by a
    signal, so that no ``atexit`` handler runs: this is where the trail says that it was closed.
    """

    def __init__(
        self,
        app: App,
        trail: Trail,
        *,
        trusted_proxies: Iterable[str] = (),
        proxy_header: ProxyHeader = "x-forwarded-for",
        principal: Callable[[Scope], Actor | None] | None = None,
        tenant: Callable[[Scope], Id | None] | None = None,
        service: str | None = None,
        record_mutations: bool = False,
        close: bool = True,
    ) -> None:
        self.app = app
        self.trail = trail
        self._closes = close
        self._settings: Settings[Scope] = Settings(
            trusted_proxies=networks(trusted_proxies),
            proxy_header=proxy_header,
            principal=principal,
            tenant=tenant,
            service=service,
            records_mutations=record_mutations,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket") or isinstance(scope.get(CONTEXT_KEY), RequestContext):
            await self._no_request(scope, receive, send)
            return
        context = scope[CONTEXT_KEY] = self._context(scope)
        scope[TRAIL_KEY] = self.trail
        token = request_context.set(context)
        try:
            records = self._settings.records_mutations and scope.get("method", "GET") not in SAFE_METHODS
            if records or (_status_is_wanted and kind == "http"):
                mutation = Mutation(scope["method"], scope.get("path", "")) if records else None
                await self._watched(scope, receive, send, context, mutation)
            else:
                await self.app(scope, receive, send)
        finally:
            # A request that is thrown away unfinished may end elsewhere, where this context never was. No `suppress`,
            # which costs half a microsecond a request.
            try:  # noqa: SIM105
                request_context.reset(token)
            except ValueError:
                pass

    async def _no_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and self._closes:
            await closing(self.app, lambda: self.trail, scope, receive, send)
        else:
            # Of an application that is mounted in another: the request has its context.
            await self.app(scope, receive, send)

    def _context(self, scope: Scope) -> RequestContext:
        client = scope.get("client")
        peer = str(client[0]) if client else None
        return context_of(self._settings, scope, peer, scope.get("headers") or ())

    async def _watched(
        self, scope: Scope, receive: Receive, send: Send, context: RequestContext, mutation: Mutation | None
    ) -> None:
        by_status: list[ByStatus] = []
        scope[STATUS_KEY] = by_status

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                status, handed_in = int(message["status"]), []
                with entered(context):
                    if mutation is not None and mutation.is_open:
                        fields = mutation.answered(status, _route(scope))
                        handed_in.append(hand_in(self.trail, mutation.action, fields))
                    while by_status:
                        handed_in.append(by_status.pop(0)(status))
                # The response leaves when its events have the level that the policy asks for.
                for one in handed_in:
                    await reached(one)
            await send(message)

        try:
            await self.app(scope, receive, send_recorded)
        except (asyncio.CancelledError, GeneratorExit):
            if mutation is not None and mutation.is_open:
                let_go(hand_in(self.trail, mutation.action, mutation.given_up(_route(scope))))
            raise
        except BaseException as error:
            if mutation is not None and mutation.is_open:
                await reached(hand_in(self.trail, mutation.action, mutation.failed(error, _route(scope))))
            raise
        finally:
            with entered(context):
                while by_status:
                    let_go(by_status.pop(0)(None))
        if mutation is not None and mutation.is_open:
            await reached(hand_in(self.trail, mutation.action, mutation.given_up(_route(scope))))


class CloseAtShutdown:
    """Closes the trail when the server shuts down, and does nothing else: around applications whose framework has
    a middleware of its own, such as Django's."""

    def __init__(self, app: App, trail: Trail | Callable[[], Trail]) -> None:
        self.app = app
        self._trail = trail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await closing(self.app, self._opened, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _opened(self) -> Trail:
        return self._trail if isinstance(self._trail, Trail) else self._trail()


def _route(scope: Scope) -> str | None:
    """The pattern of the route, where one is known: a path as it was sent has ids in it."""
    route = scope.get("route")
    # FastAPI keeps a route as its router has it, and here what it became where that router was included with a prefix.
    included = scope.get("fastapi")
    included = included.get("effective_route_context") if isinstance(included, dict) else None
    if included is not None and getattr(included, "original_route", None) is route:
        route = included
    for name in ("path_format", "path"):
        pattern = getattr(route, name, None)
        if isinstance(pattern, str) and pattern:
            root = scope.get("root_path", "")
            return f"{root}{pattern}"
    return None
