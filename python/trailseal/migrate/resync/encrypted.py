"""`EncryptedAuditTrail`: its calls over a trail.

Its promises, kept by other means: the hash chain and the HMAC signatures are the trail's signed Merkle tree,
which also finds what is missing; an event is on disk within milliseconds, not after five minutes; verification
reads every event. What is not here is encryption of the files: see docs/migrate/resync.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from trailseal.migrate._home import filled, newest, not_durable
from trailseal.migrate._proof import leaf_hash

from .chaos import faults
from .home import home
from .log_line import logger

#: What an event type that is not one of the trail's categories becomes, and how it is found again.
CUSTOM = "custom:"
CATEGORIES = frozenset(
    (
        "authentication",
        "authorization",
        "secret_access",
        "config_change",
        "data_access",
        "data_change",
        "workflow",
        "step",
        "admin",
    )
)

#: The type of a resource of which only the id is known.
RESOURCE = "resource"


def category_of(event_type: str) -> str:
    return event_type if event_type in CATEGORIES else CUSTOM + (event_type or "other")


@dataclass
class EncryptedAuditConfig:
    """Accepted as it was. What has no meaning any more is ignored: docs/migrate/resync.md says which."""

    audit_log_directory: str = "data/audit_logs"
    max_entries_per_block: int = 1000
    compression_enabled: bool = True
    key_rotation_days: int = 90
    hmac_key_length: int = 32
    pbkdf_iterations: int = 100_000
    enable_hash_chaining: bool = True
    enable_signatures: bool = True
    chain_verification_enabled: bool = True
    archival_age_days: int = 365
    compression_level: int = 9
    max_memory_entries: int = 10_000
    flush_interval_seconds: int = 300
    enable_tamper_detection: bool = True
    forensic_mode_enabled: bool = False
    encryption_enabled: bool = False


@dataclass(frozen=True)
class EncryptedAuditEntry:
    """An event of this trail. `hash_value` is its leaf in the signed tree; the chain is the tree."""

    entry_id: str
    timestamp: float
    event_type: str
    user_id: str | None
    resource_id: str | None
    action: str
    details: dict[str, Any] = field(default_factory=dict)
    ip_address: str | None = None
    user_agent: str | None = None
    session_id: str | None = None

    @property
    def hash_value(self) -> str:
        """SHA-256 of the event's line as a leaf of the tree, in hexadecimal. Waits until the event is sealed."""
        return leaf_hash(home.trail(), self.entry_id)

    def to_dict(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> EncryptedAuditEntry:
        """The entry of an event that was read from a trail."""
        context = event.get("context") or {}
        return cls(
            entry_id=event["id"],
            timestamp=datetime.fromisoformat(event["time"]).timestamp(),
            event_type=str(event.get("category", "")).removeprefix(CUSTOM),
            user_id=(event.get("actor") or {}).get("id"),
            resource_id=(event.get("resource") or {}).get("id"),
            action=event["action"],
            details=dict(event.get("details") or {}),
            ip_address=context.get("ip"),
            user_agent=context.get("user_agent"),
            session_id=context.get("session_id"),
        )


class EncryptedAuditTrail:
    """The calls of Resync's encrypted audit trail."""

    def __init__(self, config: EncryptedAuditConfig | None = None) -> None:
        self.config = config or EncryptedAuditConfig()
        self.total_entries = 0
        self.tamper_attempts_detected = 0
        self.integrity_violations = 0
        self._running = False

    async def start(self, tg: asyncio.TaskGroup | None = None) -> None:
        """Opens the trail. It needs no tasks of its own, so that `tg` gets none."""
        await asyncio.to_thread(home.trail)
        self._running = True

    async def stop(self) -> None:
        """Waits until all is on disk and sealed. Stopping again does nothing."""
        if self._running:
            self._running = False
            await asyncio.to_thread(home.trail().seal)

    def log_event(
        self,
        event_type: str,
        user_id: str | None = None,
        resource_id: str | None = None,
        action: str = "",
        details: dict[str, Any] | None = None,
        ip_address: str | None = None,
        user_agent: str | None = None,
        session_id: str | None = None,
    ) -> str:
        """Records an event and returns its id. An event without an action has its type for one."""
        faults.before_write()
        context = {"ip": ip_address, "user_agent": user_agent, "session_id": session_id}
        receipt = home.using(
            lambda trail: trail.record(
                action or event_type,
                category=category_of(event_type),
                actor=user_id,
                resource=None if resource_id is None else (RESOURCE, resource_id),
                details=details,
                context=filled(context) or None,
            )
        )
        self.total_entries += 1
        return receipt.id

    def search_events(
        self,
        start_time: float | None = None,
        end_time: float | None = None,
        event_type: str | None = None,
        user_id: str | None = None,
        resource_id: str | None = None,
        limit: int = 100,
    ) -> list[EncryptedAuditEntry]:
        """Events of the whole trail, the newest first; not only those that are still in memory."""
        events = newest(
            home.trail(),
            limit,
            since=instant(start_time),
            until=instant(end_time),
            category=None if event_type is None else category_of(event_type),
            actor=user_id,
            resource=None if resource_id is None else (RESOURCE, resource_id),
        )
        return [EncryptedAuditEntry.from_event(event) for event in events]

    async def verify_integrity(self, full_chain_check: bool = False) -> dict[str, Any]:
        """Verifies every event against what was signed: there is no cheaper check that would mean anything."""
        trail = home.trail()
        try:
            await asyncio.to_thread(trail.seal)
            verdict = await asyncio.to_thread(trail.verify)
            verdicts = verdict.get("trails") or [verdict]
            issues = [str(one.get("problem") or one.get("message")) for one in verdicts if not one["ok"]]
            status = "valid" if verdict["ok"] else "compromised"
        except Exception as error:
            logger.error("The audit trail could not be verified: %s", error)
            issues, status = [f"verification_error: {error}"], "error"
        if status == "compromised":
            self.integrity_violations += 1
            self.tamper_attempts_detected += len(issues)
            logger.critical("The audit trail was changed: %s", ", ".join(issues))
        return {
            "timestamp": time.time(),
            "integrity_status": status,
            "issues_found": issues,
            "tamper_attempts": self.tamper_attempts_detected,
            "pending_entries": not_durable(trail),
            "total_entries": await asyncio.to_thread(trail.count),
        }

    async def export_forensic_data(
        self, start_time: float, end_time: float, include_encrypted: bool = False
    ) -> dict[str, Any]:
        """All events between two times, with the verdict. `trail.export_to(…, format="bundle")` is the form that
        a third party can verify. There are no encrypted blocks, so that `include_encrypted` adds none."""
        trail = home.trail()
        events = await asyncio.to_thread(
            lambda: [
                EncryptedAuditEntry.from_event(event).to_dict()
                for event in trail.query(since=instant(start_time), until=instant(end_time), order="asc")
            ]
        )
        return {
            "export_timestamp": time.time(),
            "time_range": {"start": start_time, "end": end_time},
            "total_events": len(events),
            "integrity_status": await self.verify_integrity(),
            "events": events,
        } | ({"encrypted_blocks": []} if include_encrypted else {})

    async def rotate_encryption_key(self, reason: str = "scheduled") -> str:
        """Replaces the key that signs. The old one vouches for the new one, which is returned in signed-note
        form."""
        trail = home.trail()
        key = await asyncio.to_thread(trail.rotate_key)
        trail.record("key_rotated", category="config_change", details={"new_key_id": key, "reason": reason})
        return key

    def get_metrics_summary(self) -> dict[str, Any]:
        """Its four groups of numbers, as far as they still mean something."""
        trail = home.trail()
        stats = trail.stats()
        return {
            "performance": {
                "total_entries_logged": self.total_entries,
                "pending_entries": not_durable(trail),
                "sealed_entries": stats["sealed"],
            },
            "security": {
                "tamper_attempts_detected": self.tamper_attempts_detected,
                "integrity_violations": self.integrity_violations,
                "signatures_enabled": True,
                "hash_chaining_enabled": True,
                "encryption_enabled": False,
            },
            "storage": {"audit_log_directory": str(trail.dir), "seal_trouble": stats["seal_trouble"]},
            "faults": faults.metrics(),
        }


def instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


_instance: EncryptedAuditTrail | None = None


async def get_encrypted_audit_trail() -> EncryptedAuditTrail:
    """The one instance, started."""
    global _instance
    # No `await` between the look and the setting, so that two tasks cannot make two.
    instance = _instance = _instance or EncryptedAuditTrail()
    if not instance._running:
        await instance.start()
    return instance
