"""What a request says of itself, what is to be believed of it, and its one event. Neutral to frameworks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args

from . import RequestContext
from ._client_address import Network, ProxyHeader, client_address
from ._types import Actor, EventFields, Id

_R = TypeVar("_R")

#: Where WSGI has the headers that are read.
_ENVIRON = {
    f"HTTP_{name.decode().upper().replace('-', '_')}": name
    for name in (
        b"user-agent",
        b"x-request-id",
        b"x-correlation-id",
        b"traceparent",
        b"x-forwarded-for",
        b"forwarded",
    )
}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True)
class Settings(Generic[_R]):
    """What a middleware was told. `_R` is what its framework calls a request."""

    trusted_proxies: tuple[Network, ...]
    proxy_header: ProxyHeader
    principal: Callable[[_R], Actor | None] | None
    tenant: Callable[[_R], Id | None] | None
    service: str | None
    records_mutations: bool

    def __post_init__(self) -> None:
        # Names of headers are the same in upper and lower case.
        name = str(self.proxy_header).lower()
        if name not in get_args(ProxyHeader):
            known = " or ".join(get_args(ProxyHeader))
            raise ValueError(f"proxy_header cannot be {self.proxy_header!r}: use {known}")
        object.__setattr__(self, "proxy_header", name)


def context_of(
    settings: Settings[_R], request: _R, peer: str | None, headers: Iterable[tuple[bytes, bytes]]
) -> RequestContext:
    """The context of a request with these headers, whose names are in lower case."""
    written: list[bytes] = []
    if settings.trusted_proxies:
        name, headers = settings.proxy_header.encode(), tuple(headers)
        written = [value for known, value in headers if known == name]
    ip = client_address(peer, written, settings.trusted_proxies, settings.proxy_header)
    context = RequestContext.of_headers(headers, ip=ip, service=settings.service)
    if settings.principal is not None:
        context.set(actor=settings.principal(request))
    if settings.tenant is not None:
        context.set(tenant=settings.tenant(request))
    return context


def headers_of(environ: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """The headers of a request in WSGI's form, which has joined the values of one that was sent several times."""
    # Of a header with an underscore in its name servers make the same key, but a proxy would not see it.
    sent = ((name, environ.get(key)) for key, name in _ENVIRON.items())
    return [(name, str(value).encode("latin-1", "replace")) for name, value in sent if value is not None]


def outcome_of(status: int) -> str:
    """``denied`` for 401 and 403, ``failure`` for others from 400 on."""
    if status in (401, 403):
        return "denied"
    return "failure" if status >= 400 else "success"


class Mutation:
    """The one event of a request that changes something. Taken once, by whatever ends the request first."""

    __slots__ = ("_begun", "_path", "action", "is_open")

    def __init__(self, method: str, path: str) -> None:
        self.action = f"http.{method.lower()}"
        self._path = path
        self._begun = time.monotonic()
        self.is_open = True

    def answered(self, status: int, route: str | None) -> EventFields:
        fields = self._taken(route, outcome_of(status))
        fields["details"] = {"path": self._path, "status": status}
        return fields

    def failed(self, error: BaseException, route: str | None) -> EventFields:
        fields = self._taken(route, "failure")
        # Its text may hold what the client sent; its type says what went wrong.
        fields["error"] = f"the handler failed without a response: {type(error).__name__}"
        return fields

    def given_up(self, route: str | None) -> EventFields:
        fields = self._taken(route, "unknown")
        fields["error"] = "the request was given up before it was answered"
        return fields

    def _taken(self, route: str | None, outcome: str) -> EventFields:
        self.is_open = False
        return {
            "category": "data_change",
            "resource": ("route", route or self._path),
            "outcome": outcome,
            "details": {"path": self._path},
            "duration_ms": int((time.monotonic() - self._begun) * 1000),
        }
