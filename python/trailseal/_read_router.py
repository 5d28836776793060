"""The read endpoints of Trailseal's server, inside an application, behind a dependency of its own."""

from __future__ import annotations

import http
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from . import ReadError, RequestContext, Trail
from ._types import Actor, Id
from .asgi import TRAIL_KEY
from .context import current, entered

_LIMIT = 50
_LIMIT_MAX = 1_000
# Each value is compared with each event.
_VALUES_MAX = 200
_TOP_MAX = 1_000

_FILTERS = {
    "tenant": "Exactly this tenant",
    "actor": "The actor's id or name",
    "on_behalf_of": "For whom the actor acted",
    "action": "A glob: `*` is any text, `?` any character",
    "category": "Such as `data_change`",
    "resource": "`TYPE` or `TYPE/ID`, also of related ones",
    "outcome": "`success`, `failure`, `denied`, `partial`, `unknown` or `none`",
    "severity": "`debug` to `critical`",
    "ip": "Exactly this address",
    "correlation_id": "Of the context",
    "request_id": "Of the context",
    "session_id": "Of the context",
    "trace_id": "Of the context",
    "origin": "Of this trail",
    "since": "From this time on: `2026-11-21T04:00`, `2026-03`, `yesterday`, `last week` (in UTC), or an age such as `24h`",
    "until": "Before this time",
    "recorded_since": "Recorded from this time on",
    "recorded_until": "Recorded before this time",
    "text": "This text anywhere",
    "id": "An id, or an index in digits",
    "system": "`true`: also the trail's own events",
}
_PAGE = {
    "limit": f"Events a page, 1 to {_LIMIT_MAX}",
    "cursor": "`next` of the page before",
    "order": "`desc` or `asc`",
    "order_by": "`time` or `recorded`",
}
_ONCE = frozenset({"since", "until", "recorded_since", "recorded_until", "system"})


class _AllTenants:
    def __repr__(self) -> str:
        return "ALL_TENANTS"


#: What ``tenant`` of :func:`audit_router` returns for whoever may see everything.
ALL_TENANTS = _AllTenants()


class _Problem(Exception):
    """An error response as RFC 9457 has it, with the types of the server."""

    def __init__(self, status: int, kind: str, detail: str, **more: str) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.more = status, kind, detail, more

    def response(self) -> JSONResponse:
        body = {
            "type": f"urn:trailseal:problem:{self.kind}",
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return JSONResponse(body, self.status, media_type="application/problem+json")


def audit_router(
    reader: Callable[..., Any],
    *,
    tenant: Callable[[Any], Id | _AllTenants | None] | None = None,
    actor: Callable[[Any], Actor | None] | None = None,
    trail: Trail | None = None,
    prefix: str = "/audit",
    **router: Any,
) -> APIRouter:
    """A router with ``GET /events``, ``/events/{id}``, ``/resources/{type}/{id}/history`` and ``/summary``: the
    filters and answers of Trailseal's own server (``GET /v1/events`` and so on).

    ``reader`` is a dependency that raises where somebody may not read. Nobody reads past it. ``tenant`` is given
    what the dependency returned, and returns the tenant whose events are shown, or :data:`ALL_TENANTS`; ``None``
    is answered with 403. Without ``tenant``, whoever passes the dependency sees the events of all tenants.

    Every read is itself recorded, with who reads: what ``actor`` makes of what the dependency returned; else the actor
    of the request, where something such as :func:`acting` has said who that is; else the dependency's user by its
    ``id`` (or ``sub``), ``name`` and ``email``.

    >>> app.include_router(audit_router(current_admin))
    >>> app.include_router(audit_router(current_user, tenant=lambda user: user.tenant_id))
    """
    made = APIRouter(prefix=prefix, tags=["audit"], **router)
    access = _Access(tenant, actor, trail)

    def route(path: str, names: Iterable[str], answer: Callable[..., bytes], summary: str) -> None:
        async def endpoint(request: Request, who: Any = Depends(reader)) -> Response:
            try:
                asked = _Query(request, names)
                with entered(access.context(who)):
                    body = await run_in_threadpool(answer, access.trail(request), asked, access.tenant(who), request)
            except _Problem as problem:
                return problem.response()
            except ValueError as error:
                return _Problem(400, "query", str(error)).response()
            except ReadError as error:
                return _Problem(503, "refused", str(error)).response()
            return Response(body, media_type="application/json")

        endpoint.__name__ = "audit_" + answer.__name__.strip("_")
        parameters = [_parameter(name) for name in names]
        made.get(path, summary=summary, response_class=Response, openapi_extra={"parameters": parameters})(endpoint)

    route("/events", [*_FILTERS, *_PAGE, "count"], _events, "Find events")
    route("/events/{event_id}", ["tenant", "origin"], _event, "One event")
    history = ["tenant", *_PAGE]
    route("/resources/{kind}/{resource_id:path}/history", history, _history, "The life of a resource")
    route("/summary", [*_FILTERS, "top", "bucket"], _summary, "Totals")
    return made


class _Access:
    """What one reader may see."""

    def __init__(
        self,
        tenant: Callable[[Any], Id | _AllTenants | None] | None,
        actor: Callable[[Any], Actor | None] | None,
        trail: Trail | None,
    ) -> None:
        self._tenant = tenant
        self._actor = actor
        self._trail = trail

    def trail(self, request: Request) -> Trail:
        trail = self._trail or request.scope.get(TRAIL_KEY)
        if not isinstance(trail, Trail):
            raise RuntimeError("no audit trail here: call trailseal.fastapi.install(app), or give audit_router one")
        return trail

    def context(self, who: Any) -> RequestContext:
        """That of the request, with who reads."""
        context = current()
        known = {} if context is None else context.as_dict()
        if self._actor is not None:
            known["actor"] = self._actor(who)
        elif "actor" not in known:
            known["actor"] = _actor_of(who)
        return RequestContext(**known)

    def tenant(self, who: Any) -> str | None:
        """The only tenant whose events are shown; ``None`` for all."""
        if self._tenant is None:
            return None
        tenant = self._tenant(who)
        if tenant is ALL_TENANTS:
            return None
        if isinstance(tenant, bool) or not isinstance(tenant, str | int | UUID) or not (text := str(tenant)):
            raise _Problem(403, "forbidden", "you belong to no tenant whose events you may see")
        return text


def _actor_of(who: Any) -> Actor | None:
    """Who this is, as far as its id says it; nothing else of it is taken, since it may hold anything."""
    if isinstance(who, str | int | UUID) and not isinstance(who, bool):
        return str(who)
    parts = who if isinstance(who, Mapping) else {name: getattr(who, name, None) for name in ("id", "sub", "name", "email")}
    id = parts.get("id") if parts.get("id") is not None else parts.get("sub")
    if not isinstance(id, str | int | UUID):
        return None
    named = {name: str(parts[name]) for name in ("name", "email") if isinstance(parts.get(name), str)}
    return {"id": str(id), **named}


class _Query:
    """The query of a URL: each name is known, and each value where it belongs."""

    def __init__(self, request: Request, names: Iterable[str]) -> None:
        pairs = request.query_params.multi_items()
        if len(pairs) > _VALUES_MAX:
            raise _Problem(400, "query", f"more than {_VALUES_MAX} values: ask for less at once")
        known = tuple(names)
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if name not in known:
                # A mistyped filter would show too much.
                detail = f"there is no parameter {name!r} here: use one of {', '.join(known)}"
                raise _Problem(400, "query", detail, field=name)
            self._values.setdefault(name, []).append(value)

    def one(self, name: str) -> str | None:
        values = self._values.get(name, [])
        if len(values) > 1:
            raise _Problem(400, "query", f"{name} is given twice", field=name)
        return values[0] if values else None

    def word(self, name: str, words: tuple[str, ...], usual: str) -> str:
        word = self.one(name)
        if word is not None and word not in words:
            raise _Problem(400, "query", f"{name} must be {' or '.join(words)}", field=name)
        return usual if word is None else word

    def number(self, name: str, most: int, usual: int) -> int:
        text = self.one(name)
        if text is None:
            return usual
        if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
            raise _Problem(400, "query", f"{name} must be a number from 1 to {most}", field=name)
        return int(text)

    def filters(self, tenant: str | None) -> dict[str, Any]:
        """The filters that are asked for, narrowed to what the reader may see."""
        filters: dict[str, Any] = {}
        for name in _FILTERS:
            if name == "system":
                filters[name] = self.word(name, ("true", "false"), "false") == "true"
            elif name in _ONCE:
                # The last one counts, as in the server.
                filters[name] = self._values.get(name, [None])[-1]
            elif name in self._values:
                filters[name] = self._values[name]
        return _narrowed(filters, tenant)

    def page(self, usual: str) -> dict[str, Any]:
        return {
            "limit": self.number("limit", _LIMIT_MAX, _LIMIT),
            "order": self.word("order", ("desc", "asc"), usual),
            "order_by": self.word("order_by", ("time", "recorded"), "time"),
            "cursor": self.one("cursor"),
        }


def _narrowed(filters: dict[str, Any], tenant: str | None) -> dict[str, Any]:
    if tenant is not None:
        if any(asked != tenant for asked in filters.get("tenant") or ()):
            raise _Problem(403, "forbidden", "these are another tenant's events")
        filters["tenant"] = [tenant]
        # The trail's own events concern every tenant.
        filters["system"] = False
    return filters


def _events(trail: Trail, asked: _Query, tenant: str | None, request: Request) -> bytes:
    filters, page = asked.filters(tenant), asked.page("desc")
    if asked.word("count", ("true", "false"), "false") == "true":
        return _json({"count": trail.count(**filters)})
    return _page(trail, **page, **filters)


def _history(trail: Trail, asked: _Query, tenant: str | None, request: Request) -> bytes:
    resource = (request.path_params["kind"], request.path_params["resource_id"])
    wanted = asked.one("tenant")
    filters = _narrowed({"tenant": None if wanted is None else [wanted]}, tenant)
    # A history is read from its beginning.
    return _page(trail, resource=resource, **asked.page("asc"), **filters)


def _event(trail: Trail, asked: _Query, tenant: str | None, request: Request) -> bytes:
    id = request.path_params["event_id"]
    missing = _Problem(404, "not-found", f"there is no event {id}")
    filters: dict[str, Any] = {"id": [id], "origin": asked.one("origin"), "system": True}
    filters["tenant"] = None if (wanted := asked.one("tenant")) is None else [wanted]
    try:
        filters = _narrowed(filters, tenant)
    except _Problem:
        # Another tenant's event is not found, so its existence is not revealed.
        raise missing from None
    found = trail.page(limit=100, order="asc", order_by="recorded", **filters).events
    if not found:
        raise missing
    if len(found) > 1:
        names = ("origin", "index", "id", "tenant")
        raise _Several(_json({"events": [{name: event.get(name) for name in names} for event in found]}))
    return _json(found[0])


class _Several(_Problem):
    def __init__(self, body: bytes) -> None:
        super().__init__(300, "several", "several events have this id")
        self._body = body

    def response(self) -> Any:
        return Response(self._body, 300, media_type="application/json")


def _summary(trail: Trail, asked: _Query, tenant: str | None, request: Request) -> bytes:
    top, bucket = asked.number("top", _TOP_MAX, 10), asked.one("bucket")
    return _json(trail.summary(top=top, bucket=bucket, **asked.filters(tenant)))


def _page(trail: Trail, **asked: Any) -> bytes:
    page = trail.page(**asked)
    return _json({"events": page.events, "next": page.next, "lag": {}})


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _parameter(name: str) -> dict[str, Any]:
    words = {"count": "`true`: only the number", "top": "How many values of a field", "bucket": "Such as `15m`"}
    described = _FILTERS.get(name) or _PAGE.get(name) or words[name]
    repeated = name in _FILTERS and name not in _ONCE
    one: dict[str, Any] = {"type": "string"}
    schema = {"type": "array", "items": one} if repeated else one
    return {"name": name, "in": "query", "required": False, "description": described, "schema": schema}
