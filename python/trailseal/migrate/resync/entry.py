"""One event, with the fields that Resync's table `audit.audit_entries` has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

#: What `log_audit_event` puts into the metadata of an entry, as its callers read it.
STRUCTURED: Final[tuple[str, ...]] = ("details", "correlation_id", "source_component", "severity")


@dataclass(frozen=True)
class AuditEntry:
    """An event as it was recorded.

    `id` is a string, not a number: it stays the same wherever the event goes. `index` is its place in its trail,
    and `None` if it was not recorded.
    """

    id: str
    action: str
    user_id: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    old_value: Any = None
    new_value: Any = None
    ip_address: str | None = None
    user_agent: str | None = None
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    metadata: dict[str, Any] = field(default_factory=dict)
    severity: str = "INFO"
    correlation_id: str | None = None
    source_component: str | None = None
    index: int | None = None
    origin: str | None = None

    @property
    def metadata_(self) -> dict[str, Any]:
        """The name of the column's attribute in the table's model."""
        return self.metadata

    @property
    def details(self) -> dict[str, Any]:
        """What the caller gave as details, without what stands around it in the metadata."""
        details = self.metadata.get("details") if self.is_structured else self.metadata
        return dict(details) if isinstance(details, Mapping) else {}

    @property
    def is_structured(self) -> bool:
        """Whether it came through `log_audit_event`."""
        return self.source_component is not None

    @property
    def recorded(self) -> bool:
        """Whether the trail took it. What was not recorded was logged as an error."""
        return self.index is not None

    def to_dict(self) -> dict[str, Any]:
        """The form in which Resync's administration pages read an entry."""
        return {
            "id": self.id,
            "action": self.action,
            "user_id": self.user_id,
            "entity_type": self.entity_type,
            "entity_id": self.entity_id,
            "old_value": self.old_value,
            "new_value": self.new_value,
            "ip_address": self.ip_address,
            "user_agent": self.user_agent,
            "timestamp": self.timestamp.isoformat(),
            "metadata": self.metadata,
        }

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> AuditEntry:
        """The entry of an event that was read from a trail."""
        context, time = event.get("context") or {}, event["time"]
        resource = event.get("resource") or {}
        details = dict(event.get("details") or {})
        component = context.get("component")
        severity = str(event.get("severity", "info")).upper()
        correlation_id = context.get("correlation_id")
        metadata = details
        if component is not None:
            metadata = dict(zip(STRUCTURED, (details, correlation_id, component, severity), strict=True))
        return cls(
            id=event["id"],
            action=event["action"],
            user_id=(event.get("actor") or {}).get("id"),
            entity_type=resource.get("type"),
            entity_id=resource.get("id"),
            old_value=event.get("before"),
            new_value=event.get("after"),
            ip_address=context.get("ip"),
            user_agent=context.get("user_agent"),
            timestamp=time if isinstance(time, datetime) else datetime.fromisoformat(time),
            metadata=metadata,
            severity=severity,
            correlation_id=correlation_id,
            source_component=component,
            index=event.get("index"),
            origin=event.get("origin"),
        )
