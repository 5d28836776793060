"""What a request says of itself, what is to be believed of it, and its one event. Neutral to frameworks."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from . import RequestContext
from ._client_address import Network, ProxyHeader, client_address
from ._types import Actor, EventFields, Id

_R = TypeVar("_R")

#: The headers that are read.
HEADERS = frozenset({b"user-agent", b"x-request-id", b"x-correlation-id", b"traceparent", b"x-forwarded-for", b"forwarded"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_HEX = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.DOTALL)
# A header is cut by the core; what is longer than any event is not even decoded.
_TEXT_MAX = 65_536
# The digit of a UUID that holds its variant in two bits.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


@dataclass(frozen=True, slots=True)
class Settings(Generic[_R]):
    """What a middleware was told. `_R` is what its framework calls a request."""

    trusted_proxies: tuple[Network, ...]
    proxy_header: ProxyHeader
    principal: Callable[[_R], Actor | None] | None
    tenant: Callable[[_R], Id | None] | None
    service: str | None
    records_mutations: bool


def context_of(
    settings: Settings[_R], request: _R, peer: str | None, headers: Callable[[bytes], list[bytes]]
) -> RequestContext:
    """The context of a request. `headers` gives all values of a header, whose name is in lower case."""
    fields: dict[str, str] = {}
    if settings.service is not None:
        fields["service"] = settings.service
    written = headers(settings.proxy_header.encode()) if settings.trusted_proxies else []
    ip = client_address(peer, written, settings.trusted_proxies, settings.proxy_header)
    if ip is not None:
        fields["ip"] = ip
    user_agent = _first(headers(b"user-agent"))
    if user_agent is not None:
        fields["user_agent"] = user_agent
    request_id = _first(headers(b"x-request-id")) or new_request_id()
    fields["request_id"] = request_id
    # Sampling goes by it: what a request does is kept or left out as a whole.
    fields["correlation_id"] = _first(headers(b"x-correlation-id")) or request_id
    parents = headers(b"traceparent")
    ids = trace_and_span(parents[0]) if parents else None
    if ids is not None:
        fields["trace_id"], fields["span_id"] = ids
    return RequestContext(
        actor=None if settings.principal is None else settings.principal(request),
        tenant=None if settings.tenant is None else settings.tenant(request),
        context=fields,
    )


def _first(values: list[bytes]) -> str | None:
    return values[0][:_TEXT_MAX].decode("utf-8", "replace") if values and values[0] else None


def new_request_id() -> str:
    """A UUIDv7."""
    drawn, millis = os.urandom(10).hex(), f"{time.time_ns() // 1_000_000:012x}"
    return f"{millis[:8]}-{millis[8:]}-7{drawn[:3]}-{_VARIANT[drawn[3]]}{drawn[4:7]}-{drawn[7:19]}"


def trace_and_span(value: bytes) -> tuple[str, str] | None:
    """The ids of a W3C ``traceparent``: version - trace - parent - flags. Later versions may have more behind
    it."""
    found = _HEX.fullmatch(value.strip())
    if found is None:
        return None
    version, trace, span, more = found.groups()
    is_known = version != b"ff" and (version != b"00" or more is None)
    if not is_known or not trace.strip(b"0") or not span.strip(b"0"):
        return None
    return trace.decode(), span.decode()


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
