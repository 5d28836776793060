"""The numbers that the monitoring of the yacht system reads.

`succeeded` means what it meant: written. An event that was taken and is not on disk yet is in the queue; a
killed process loses neither.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, MutableMapping
from typing import Final

from trailseal import Trail, TrailsealError

from .log import logger

NAMES: Final[tuple[str, ...]] = ("submitted", "succeeded", "failed")
#: How long an event may take to the disk before that is worth a warning.
SLOW_SECONDS: Final = 1.0
#: After how many events that wait, those that are on disk are taken out.
SETTLE_AT: Final = 1024


class AuditStats(MutableMapping[str, int]):
    """`submitted`, `succeeded`, `failed`, up to date at each look. They can be set, as tests do to clear them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = dict.fromkeys(NAMES, 0)
        #: What is not known to be on disk: where, at what index, since when; the oldest first.
        self._waiting: deque[tuple[Trail, int, float]] = deque()
        #: How many of the oldest were submitted before `succeeded` was cleared.
        self._uncounted = 0
        self._is_slow = False
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        # What waits is the parent's; another thread may have held the lock at the fork.
        self._lock = threading.Lock()
        self._waiting.clear()
        self._uncounted = 0

    def submitted(self) -> None:
        """One more was handed in."""
        with self._lock:
            self._counts["submitted"] += 1

    def taken(self, trail: Trail, index: int) -> None:
        """It was taken, and will be on disk."""
        with self._lock:
            self._waiting.append((trail, index, time.monotonic()))
            if len(self._waiting) >= SETTLE_AT:
                self._settle()

    def done(self, name: str) -> None:
        """One more `succeeded` or `failed`."""
        with self._lock:
            self._counts[name] += 1

    def waiting(self) -> int:
        """How many are not on disk yet."""
        with self._lock:
            self._settle()
            return len(self._waiting)

    def _settle(self) -> None:
        durable: dict[int, int | None] = {}
        while self._waiting:
            trail, index, _ = self._waiting[0]
            if id(trail) not in durable:
                durable[id(trail)] = durable_of(trail)
            below = durable[id(trail)]
            if below is not None and index >= below:
                break
            self._waiting.popleft()
            if self._uncounted:
                self._uncounted -= 1
            else:
                self._counts["succeeded"] += 1
        oldest = time.monotonic() - self._waiting[0][2] if self._waiting else 0.0
        if oldest > SLOW_SECONDS and not self._is_slow:
            logger.warning("Slow audit log write: %.2fs", oldest)
        self._is_slow = oldest > SLOW_SECONDS

    def __getitem__(self, name: str) -> int:
        with self._lock:
            self._settle()
            return self._counts[name]

    def __setitem__(self, name: str, value: int) -> None:
        if name not in NAMES:
            raise KeyError(name)
        with self._lock:
            self._settle()
            if name == "succeeded" and value < self._counts[name]:
                self._uncounted = len(self._waiting)
            self._counts[name] = value

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name!r} can be set, but not deleted")

    def clear(self) -> None:
        """Sets all of them to 0. None goes away, so that what `unittest.mock.patch.dict` clears can be set again."""
        for name in NAMES:
            self[name] = 0

    def copy(self) -> dict[str, int]:
        """As they are now."""
        return dict(self)

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    def __repr__(self) -> str:
        return repr(dict(self))


def durable_of(trail: Trail) -> int | None:
    """How many of this trail's events are on disk; `None` for all of them."""
    if trail.is_closed:
        return None
    try:
        return int(trail.stats()["durable"])
    except TrailsealError:
        return None if trail.is_closed else 0


_audit_stats = AuditStats()
