"""A row of `pms_audit_log` and the event that stands for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from trailseal.migrate._home import filled, text

#: What a payload should say.
EXPECTED: Final = ("yacht_id", "entity_type", "action", "entity_id", "user_id")
#: Who did it, by any of the names that the table has had for it.
ACTORS: Final = ("user_id", "created_by", "actor_id")
PLACED: Final = frozenset(
    (*EXPECTED, *ACTORS, "id", "created_at", "old_values", "new_values", "metadata", "signature", "ip_address")
)


def event_of(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The action and the fields of a row or payload, whatever of it is missing."""
    missing = [name for name in EXPECTED if row.get(name) is None and not (name == "user_id" and actor_of(row))]
    metadata = row.get("metadata")
    details = dict(metadata) if isinstance(metadata, Mapping) else filled({"metadata": metadata})
    details |= {str(name): value for name, value in row.items() if name not in PLACED}
    if missing:
        details["missing"] = missing
    when = instant(row.get("created_at"))
    if when is None and row.get("created_at") is not None:
        details["created_at"] = row["created_at"]
    resource = filled({"type": text(row.get("entity_type")), "id": text(row.get("entity_id"))})
    fields = {
        "id": text(row.get("id")),
        "time": when,
        "tenant": text(row.get("yacht_id")),
        "actor": actor_of(row),
        "resource": resource or None,
        "before": values(row.get("old_values")),
        "after": values(row.get("new_values")),
        "details": details or None,
        "approval": row.get("signature") or None,
        "context": filled({"ip": text(row.get("ip_address"))}) or None,
        "category": "data_change",
    }
    return text(row.get("action")) or "unknown", filled(fields)


def actor_of(row: Mapping[str, Any]) -> str | None:
    return next((text(row[name]) for name in ACTORS if row.get(name) is not None), None)


def values(given: Any) -> Any:
    """The values themselves, where the caller gave their JSON text."""
    if isinstance(given, str) and given[:1] in ("{", "["):
        try:
            return json.loads(given)
        except (ValueError, RecursionError):
            # No JSON, or nested more deeply than it can be read: kept as text.
            return given
    return given


def instant(given: Any) -> datetime | None:
    if isinstance(given, datetime):
        return given
    try:
        return datetime.fromisoformat(str(given)) if given is not None else None
    except ValueError:
        return None


def row_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """The row that stands for an event, with all columns that either definition of the table has."""
    resource = event.get("resource") or {}
    actor = (event.get("actor") or {}).get("id")
    return {
        "id": event["id"],
        "yacht_id": event.get("tenant"),
        "entity_type": resource.get("type"),
        "action": event["action"],
        "entity_id": resource.get("id"),
        "user_id": actor,
        "created_by": actor,
        "created_at": event["time"],
        "old_values": event.get("before"),
        "new_values": event.get("after"),
        "metadata": event.get("details") or {},
        "signature": event.get("approval") or {},
    }
