"""What people still have to review, as the trail tells it.

Each step is an event: `review.requested`, `review.decided`, `review.withdrawn`, about the resource `memory/ID`.
The queue holds nothing of its own: it reads the newest steps, in the order in which they were
recorded. So it is the same in every process, and after a restart.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from trailseal import Trail

STEPS = "review.*"
STATUSES = ("pending", "approved", "rejected")
#: How late a step of another process may become readable.
LOOK_BACK = timedelta(minutes=1)


class Reviews:
    """The state of all reviews, kept up to date from a trail."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trail: Trail | None = None
        self._newest: datetime | None = None
        self._records: dict[str, dict[str, Any]] = {}

    def read(self, trail: Trail) -> dict[str, dict[str, Any]]:
        """All records by their id, the oldest first. They are the caller's own."""
        with self._lock:
            self._catch_up(trail)
            return {id: dict(record) for id, record in self._records.items()}

    def step(self, trail: Trail, memory_id: str, fields: Mapping[str, Any], *, only_if: Any) -> bool:
        """Records a step if `only_if` says so of the record that there is now. On disk before this returns."""
        with self._lock:
            self._catch_up(trail)
            if not only_if(self._records.get(memory_id)):
                return False
            trail.record(resource=("memory", memory_id), ack="durable", **fields)
            self._catch_up(trail)
            return True

    def _catch_up(self, trail: Trail) -> None:
        if trail is not self._trail:
            self._trail, self._newest, self._records = trail, None, {}
        # Another process may have recorded a step that could not be read when its time had come: go back a
        # little. To apply steps again, in their order, changes nothing.
        since = self._newest - LOOK_BACK if self._newest else None
        for event in trail.query(action=STEPS, recorded_since=since, order="asc", order_by="recorded"):
            self._newest = datetime.fromisoformat(event["recorded"])
            self._apply(event)

    def _apply(self, event: Mapping[str, Any]) -> None:
        memory_id = str((event.get("resource") or {}).get("id"))
        details = dict(event.get("details") or {})
        record = self._records.get(memory_id)
        if event["action"] == "review.requested":
            if record is None:
                details.pop("memory", None)
                self._records[memory_id] = {
                    "memory_id": memory_id,
                    **details,
                    "status": "pending",
                    "created_at": event["time"],
                    "reviewed_at": None,
                }
        elif event["action"] == "review.withdrawn":
            self._records.pop(memory_id, None)
        elif record is not None:
            record["status"] = str(details.get("decision"))
            record["reviewed_at"] = event["time"]


def is_reviewed_before(record: Mapping[str, Any], cutoff: datetime) -> bool:
    """Whether it was decided, and before this time."""
    reviewed_at = record.get("reviewed_at")
    return (
        record["status"] in ("approved", "rejected")
        and isinstance(reviewed_at, str)
        and datetime.fromisoformat(reviewed_at) < cutoff
    )
