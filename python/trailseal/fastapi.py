"""FastAPI and Starlette.

Two lines are enough::

    import trailseal.fastapi

    trail = trailseal.fastapi.install(app, "./trail")

From then on every event that is recorded while a request is handled has the request's context, and the trail is
closed when the server shuts down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from os import PathLike
from time import monotonic
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Request, Response
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from . import RequestContext, Trail
from ._client_address import ProxyHeader
from ._lifespan import mirrored
from ._read_router import ALL_TENANTS, audit_router
from ._recording import hand_in, let_go, reached
from ._request import outcome_of
from ._trailseal import Awaited
from ._types import Actor, EventFields, Id
from .asgi import CONTEXT_KEY, STATUS_KEY, TRAIL_KEY, AuditMiddleware, Scope, want_status
from .context import set_actor

__all__ = [
    "ALL_TENANTS",
    "AuditMiddleware",
    "TrailDependency",
    "acting",
    "audit_router",
    "audited",
    "context_of",
    "install",
    "lifespan",
    "trail_of",
]

_User = TypeVar("_User")


def install(
    app: Starlette,
    trail: Trail | str | PathLike[str] = "./trail",
    *,
    trusted_proxies: Iterable[str] = (),
    proxy_header: ProxyHeader = "x-forwarded-for",
    principal: Callable[[Scope], Actor | None] | None = None,
    tenant: Callable[[Scope], Id | None] | None = None,
    service: str | None = None,
    record_mutations: bool = False,
    close: bool = True,
) -> Trail:
    """Sets everything up, and gives the trail. ``trail`` is one, or the folder in which it is opened.

    The middleware goes around all others, so that handlers of ``Exception`` and the 500 that the framework answers
    are inside of it, too. So ``principal`` sees what the server knows, such as headers, but nothing that another
    middleware finds out. An authentication says who it is by :func:`acting` or
    :func:`trailseal.context.set_actor`; or add :class:`AuditMiddleware` yourself, behind yours. What the keywords
    mean is said there.
    """
    opened = trail if isinstance(trail, Trail) else Trail.open(trail)
    if app.middleware_stack is not None:
        raise RuntimeError("the application has started: install the audit trail before it does")
    build = app.build_middleware_stack

    def build_audited() -> AuditMiddleware:
        return AuditMiddleware(
            build(),
            opened,
            trusted_proxies=trusted_proxies,
            proxy_header=proxy_header,
            principal=principal,
            tenant=tenant,
            service=service,
            record_mutations=record_mutations,
            close=close,
        )

    # Checked here rather than at the first request.
    AuditMiddleware(app, opened, trusted_proxies=trusted_proxies, proxy_header=proxy_header)
    app.build_middleware_stack = build_audited  # type: ignore[method-assign]
    return opened


def lifespan(
    trail: Trail | str | PathLike[str],
    inner: Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]] | None = None,
    *,
    timeout: float = 10.0,
) -> Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """A lifespan that opens the trail and closes it: for applications without the middleware.

    ``FastAPI(lifespan=lifespan("./trail"))``; in a request the trail is :func:`trail_of`. ``inner`` is a lifespan
    of your own, which ends before the trail is closed. That, and what logs its events, may take ``timeout`` seconds.
    """

    @asynccontextmanager
    async def around(app: Any) -> AsyncIterator[Mapping[str, Any]]:
        opened = trail if isinstance(trail, Trail) else Trail.open(trail)
        try:
            # After a fork its slot is taken here, rather than in the first request.
            opened.warm_up()
            if inner is None:
                yield {TRAIL_KEY: opened}
            else:
                async with inner(app) as state:
                    yield {**(state or {}), TRAIL_KEY: opened}
        finally:
            deadline = monotonic() + timeout
            try:
                await opened.close_async(timeout)
            finally:
                await mirrored(opened, max(0.0, deadline - monotonic()))

    return around


async def trail_of(connection: HTTPConnection) -> Trail:
    """The trail, as a dependency; see :data:`TrailDependency`."""
    trail = connection.scope.get(TRAIL_KEY) or connection.scope.get("state", {}).get(TRAIL_KEY)
    if not isinstance(trail, Trail):
        raise RuntimeError("no audit trail here: call trailseal.fastapi.install(app), or use its lifespan")
    return trail


#: A parameter that is the trail: ``async def approve(trail: TrailDependency)``.
TrailDependency = Annotated[Trail, Depends(trail_of)]


def context_of(connection: HTTPConnection) -> RequestContext | None:
    """The context of this request: for handlers that run outside of every middleware, such as one for
    ``Exception`` where the middleware was added by ``add_middleware``. Use it with
    :func:`trailseal.context.entered`."""
    context = connection.scope.get(CONTEXT_KEY)
    return context if isinstance(context, RequestContext) else None


def acting(
    user: Callable[..., _User | Awaitable[_User]],
    *,
    id: str | Callable[[_User], Any] = "id",
    name: str | Callable[[_User], Any] | None = None,
    roles: str | Callable[[_User], Any] | None = None,
    tenant: str | Callable[[_User], Any] | None = None,
) -> Callable[..., Awaitable[_User]]:
    """A dependency that does what yours does, and says that this user makes the request.

    ``id``, ``name``, ``roles`` and ``tenant`` are names of attributes or keys of the user, or functions of it. A user
    that is a text, a number or a UUID is its own id. Every event that is recorded after it has the actor, from background
    tasks and threads, too::

        CurrentUser = Annotated[User, Depends(acting(get_current_user, name="email"))]
    """

    async def acting_user(user: Any = Depends(user)) -> Any:
        if user is not None:
            parts = {"id": id, "name": name, "roles": roles}
            actor = {part: _of(user, wanted) for part, wanted in parts.items() if wanted is not None}
            set_actor(actor, tenant=None if tenant is None else _of(user, tenant))
        return user

    return acting_user


def _of(user: Any, wanted: str | Callable[[Any], Any]) -> Any:
    if not isinstance(wanted, str):
        return wanted(user)
    if wanted == "id" and isinstance(user, str | int | UUID):
        return user
    return user.get(wanted) if isinstance(user, Mapping) else getattr(user, wanted)


_GIVEN_UP = "the request was given up"


def audited(action: str, *, resource: str | None = None, **fields: Any) -> Any:
    """One event for each call of a route, with what became of it: for ``dependencies=[…]`` of a route or a router.

    ``resource`` is a pattern with parameters of the path, such as ``"invoice/{invoice_id}"``. The outcome is
    ``success``, ``denied`` for an ``HTTPException`` of 401 or 403, and ``failure`` for any other exception, of which the
    event has the class and never the text. Otherwise it goes by the status of the response: ``denied`` for 401 and 403,
    ``failure`` for others from 400 on, ``unknown`` if there was none. It is recorded before the response leaves. Without
    the middleware, the status of a ``Response`` which the route returns cannot be seen: raise an ``HTTPException``
    there. ``fields`` are those of ``Trail.record``::

        @app.post("/invoices/{invoice_id}/approve", dependencies=[audited("invoice.approve",
        resource="invoice/{invoice_id}")])
    """

    if resource is not None and not isinstance(resource, str):
        raise TypeError(f"resource is a pattern such as 'invoice/{{invoice_id}}', not {resource!r}")
    want_status()

    async def record(request: Request, response: Response) -> AsyncIterator[None]:
        trail = await trail_of(request)
        told: EventFields = {**fields}  # type: ignore[typeddict-item]
        if resource is not None:
            told["resource"] = _resource(resource, request.path_params)
        try:
            yield
        except Exception as error:
            await reached(hand_in(trail, action, {**_failure(error), **told}))
            raise
        except BaseException:
            let_go(hand_in(trail, action, {"outcome": "unknown", "error": _GIVEN_UP, **told}))
            raise
        else:

            def answered(status: int | None) -> Awaited | None:
                if status is None:
                    return hand_in(trail, action, {"outcome": "unknown", "error": _GIVEN_UP, **told})
                return hand_in(trail, action, {"outcome": outcome_of(status), **told})

            by_status = request.scope.get(STATUS_KEY)
            if by_status is None:
                # None unless the route has set it.
                await reached(answered(response.status_code or 200))
            else:
                by_status.append(answered)

    # Its end belongs to the function of the path: the response waits for it.
    return Depends(record, scope="function")


def _failure(error: Exception) -> EventFields:
    # Its text may hold what the client sent, or a secret; its class says what went wrong.
    kind = type(error).__name__
    if not isinstance(error, HTTPException):
        return {"outcome": "failure", "error": kind}
    denied = outcome_of(error.status_code) == "denied"
    return {"outcome": "denied" if denied else "failure", "error": f"{kind}: {error.status_code}"}


def _resource(pattern: str, parameters: Mapping[str, Any]) -> tuple[str, str]:
    # Split first: an id may have a slash in it.
    kind, _, id = pattern.partition("/")
    return kind.format_map(parameters), id.format_map(parameters)
