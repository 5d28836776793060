"""The types of what is recorded and what is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

if TYPE_CHECKING:
    # They would take longer to import than everything else.
    from datetime import datetime, timedelta
    from uuid import UUID

Ack: TypeAlias = Literal["accepted", "durable", "store"]
"""How far an event must have come before a call returns. It raises what the policy asks for, and never lowers it."""
Status: TypeAlias = Literal["accepted", "durable", "stored", "unconfirmed", "refused", "sampled_out", "off"]
"""What became of an event."""
Mode: TypeAlias = Literal["sync", "async", "sampled", "off"]
OutcomeName: TypeAlias = Literal["success", "failure", "denied", "partial", "unknown"]
SeverityName: TypeAlias = Literal["debug", "info", "notice", "warning", "error", "critical"]
Order: TypeAlias = Literal["asc", "desc"]
OrderBy: TypeAlias = Literal["time", "recorded"]
ExportFormat: TypeAlias = Literal["jsonl", "csv", "parquet", "sqlite", "bundle"]

EventDict: TypeAlias = dict[str, Any]
"""A recorded event as JSON has it, with the name of its trail (``origin``) first."""
Id: TypeAlias = "str | UUID | int"


class HasId(Protocol):
    """An object of the application's own, such as a user or a row. Of it only type, id, name and email are taken."""

    @property
    def id(self) -> Any: ...


Actor: TypeAlias = "Id | Mapping[str, Any] | HasId"
"""An id, a mapping with ``id, type, name, email, roles`` and fields of your own, or an object with an ``id``."""
Resource: TypeAlias = "str | tuple[str, Id] | Mapping[str, Any] | HasId"
"""``"TYPE/ID"``, ``(type, id)``, a mapping with ``type, id, name`` and fields of your own, or an object with an ``id``."""
Time: TypeAlias = "datetime | str"
"""A datetime, or text as in RFC 3339. A datetime without a time zone is taken as UTC."""
Since: TypeAlias = "datetime | timedelta | str"
"""A time, a text such as ``"2026-03"`` or ``"yesterday"``, or an age: ``timedelta(hours=24)`` or ``"24h"``."""
OneOrMore: TypeAlias = str | Iterable[str]


class EventFields(TypedDict, total=False):
    """What can be said of an event besides its action; all of it is optional."""

    actor: Actor | None
    tenant: Id | None
    resource: Resource | None
    outcome: OutcomeName | str | bool | None
    details: Mapping[str, Any] | None
    before: Any
    after: Any
    changes: Any
    context: Mapping[str, Any] | None
    category: str | None
    severity: SeverityName | str | None
    description: str | None
    error: str | BaseException | None
    on_behalf_of: Actor | None
    related: Iterable[Resource] | None
    duration_ms: float | timedelta | None
    approval: Any
    id: str | UUID | None
    time: Time | None
    extra: Mapping[str, Any] | None
    ack: Ack | None


class Filters(TypedDict, total=False):
    """Which events are meant. Several values of one filter mean any of them; several filters mean all of them."""

    tenant: Id | Iterable[Id] | None
    actor: Actor | Iterable[Actor] | None
    on_behalf_of: Actor | Iterable[Actor] | None
    action: OneOrMore | None
    category: OneOrMore | None
    resource: Resource | Iterable[Resource] | None
    outcome: str | bool | Iterable[str | bool] | None
    severity: OneOrMore | None
    ip: OneOrMore | None
    correlation_id: OneOrMore | None
    request_id: OneOrMore | None
    session_id: OneOrMore | None
    trace_id: OneOrMore | None
    origin: OneOrMore | None
    since: Since | None
    until: Since | None
    recorded_since: Since | None
    recorded_until: Since | None
    text: OneOrMore | None
    id: Id | Iterable[Id] | None
    system: bool
