"""`AuditDB`: writes and reads entries. What was a table in PostgreSQL is a trail."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from trailseal.migrate._home import filled, newest, text

from .chaos import faults
from .entry import STRUCTURED, AuditEntry
from .home import home
from .log_line import log_line


class AuditDB:
    """The entries of the audit log."""

    def __init__(self) -> None:
        self._initialized = False

    def initialize(self) -> None:
        """Opens the trail, if it is not open."""
        home.trail()
        self._initialized = True

    def close(self, timeout: float = 10.0) -> None:
        """Waits until all is on disk. The next use opens it again."""
        self._initialized = False
        home.leave(timeout)

    async def log_action(
        self,
        action: str,
        user_id: Any = None,
        entity_type: str | None = None,
        entity_id: Any = None,
        old_value: Any = None,
        new_value: Any = None,
        ip_address: str | None = None,
        user_agent: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> AuditEntry:
        """Records an event, and waits as long as the trail's policy says: not at all, unless it says otherwise."""
        await faults.before_write_async()
        event = event_of(user_id, entity_type, entity_id, old_value, new_value, ip_address, user_agent, metadata or {})
        receipt = await home.using_async(lambda trail: trail.record_async(action, **event))
        return recorded(action, event, receipt)

    async def get_user_actions(self, user_id: Any, limit: int = 100) -> list[AuditEntry]:
        """What this user did, the newest first."""
        return await self._newest(limit, actor=text(user_id))

    async def get_entity_history(self, entity_type: str, entity_id: Any, limit: int = 100) -> list[AuditEntry]:
        """What happened to this entity, the newest first."""
        return await self._newest(limit, resource=f"{entity_type}/{entity_id}")

    async def get_recent_actions(self, limit: int = 100, offset: int = 0) -> list[AuditEntry]:
        """The newest entries, after leaving out `offset`."""
        return await self._newest(limit, offset)

    async def search_actions(
        self,
        action: str | None = None,
        user_id: Any = None,
        entity_type: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        limit: int = 100,
        *,
        severity: str | None = None,
        correlation_id: str | None = None,
        query: str | None = None,
        offset: int = 0,
    ) -> list[AuditEntry]:
        """Entries, the newest first. `action` may hold `*`; `query` is any text; each date also counts alone."""
        return await self._newest(
            limit,
            offset,
            action=action,
            actor=text(user_id),
            resource=entity_type,
            since=start_date,
            until=end_date,
            severity=severity and severity.lower(),
            correlation_id=correlation_id,
            text=query,
        )

    async def get_record_count_async(self) -> int:
        """How many entries there are, exactly."""
        return await asyncio.to_thread(self._count)

    def get_record_count(self) -> int:
        """The same, outside of an event loop."""
        refuse_in_loop("get_record_count()", "await get_record_count_async()")
        return self._count()

    def _count(self) -> int:
        return home.trail().count()

    async def _newest(self, limit: int, offset: int = 0, **filters: Any) -> list[AuditEntry]:
        events = await asyncio.to_thread(newest, home.trail(), limit, offset, **filters)
        return [AuditEntry.from_event(event) for event in events]


def event_of(
    user_id: Any,
    entity_type: str | None,
    entity_id: Any,
    old_value: Any,
    new_value: Any,
    ip_address: str | None,
    user_agent: str | None,
    metadata: dict[str, Any],
) -> dict[str, Any]:
    """The event's fields. The metadata that `log_audit_event` makes is taken apart into the fields that it
    stands for."""
    context = {"ip": ip_address, "user_agent": user_agent}
    details, severity = metadata, None
    if tuple(metadata) == STRUCTURED:
        details, correlation_id, component, severity = metadata.values()
        context |= {"correlation_id": text(correlation_id), "component": text(component) or "main"}
    if details is not None and not isinstance(details, Mapping):
        details = {"details": details}
    return filled(
        {
            "actor": text(user_id),
            "resource": filled({"type": entity_type, "id": text(entity_id)}) or None,
            "before": old_value,
            "after": new_value,
            "details": details or None,
            "severity": text(severity),
            "context": filled(context) or None,
        }
    )


def recorded(action: str, event: dict[str, Any], receipt: Any) -> AuditEntry:
    """The entry of what was just recorded, after it was logged."""
    entry = unrecorded(action, event, receipt.id, receipt.index, receipt.origin)
    log_line(entry)
    return entry


def unrecorded(
    action: str, event: dict[str, Any], id: str = "", index: int | None = None, origin: str | None = None
) -> AuditEntry:
    """The entry of these fields, wherever it ended up."""
    placed = {"id": id, "action": action, "index": index, "origin": origin, "time": datetime.now(UTC)}
    shaped = event | {"actor": {"id": event.get("actor")}}
    return AuditEntry.from_event(shaped | placed)


def refuse_in_loop(name: str, instead: str) -> None:
    """What blocks must not be called where it would hold up everybody else."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"{name} cannot be used inside an active event loop; use {instead} instead")
