"""The trail that a migration module records into: the one it was given, or one that it opens at first use.

What must hold: whichever threads and tasks come first, there is one trail; after a fork, too.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Any, TypeVar

from trailseal import ClosedError, Trail, TrailsealError

T = TypeVar("T")


class Home:
    """Where one migration module's events go."""

    def __init__(self, open_trail: Callable[[str], Trail]) -> None:
        self._open = open_trail
        self._lock = threading.Lock()
        self._trail: Trail | None = None
        self._is_own = False
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        # Another thread may have held it at the fork, and is not there to let it go.
        self._lock = threading.Lock()

    def use(self, trail: Trail | None) -> None:
        """Records into this trail from now on. It stays the caller's to close. `None`: into one of its own
        again."""
        with self._lock:
            before, self._trail = self._trail if self._is_own else None, trail
            self._is_own = False
        if before is not None:
            before.close()

    def trail(self) -> Trail:
        """The trail, opened now if nobody gave one: in `TRAILSEAL_DIR`, `AUDIT_LOG_PATH` or `./trail`."""
        trail = self._trail
        if trail is not None and not (self._is_own and trail.is_closed):
            return trail
        with self._lock:
            trail = self._trail
            if trail is None or (self._is_own and trail.is_closed):
                folder = os.environ.get("TRAILSEAL_DIR") or os.environ.get("AUDIT_LOG_PATH") or "trail"
                trail = self._trail = self._open(folder)
                self._is_own = True
            return trail

    async def trail_async(self) -> Trail:
        """The same, without holding up the loop while it is opened."""
        trail = self._trail
        return await asyncio.to_thread(self.trail) if trail is None else trail

    def using(self, act: Callable[[Trail], T]) -> T:
        """Does something with the trail; again as often as `leave` closed it under the caller's hands."""
        trail = self.trail()
        while True:
            try:
                return act(trail)
            except ClosedError:
                again = self.trail()
                if again is trail:
                    raise
                trail = again

    async def using_async(self, act: Callable[[Trail], Awaitable[T]]) -> T:
        """The same for what is awaited."""
        trail = await self.trail_async()
        while True:
            try:
                return await act(trail)
            except ClosedError:
                again = await asyncio.to_thread(self.trail)
                if again is trail:
                    raise
                trail = again

    def leave(self, timeout: float) -> int:
        """Waits until all is on disk, at most so long, and closes the trail if it is its own. How many events
        are late. What is recorded meanwhile goes into the trail that is then opened again."""
        with self._lock:
            trail = self._trail
            if trail is None or trail.is_closed:
                return 0
            late = 0 if _is_flushed(trail, timeout) else not_durable(trail)
            if self._is_own:
                self._trail, self._is_own = None, False
                trail.close(timeout)
            return late


def _is_flushed(trail: Trail, timeout: float) -> bool:
    try:
        return trail.flush(timeout)
    except TrailsealError:
        return False


def not_durable(trail: Trail) -> int:
    """How many events were taken and are not on disk yet. A killed process loses none of them."""
    stats = trail.stats()
    return max(0, int(stats["accepted"]) - int(stats["durable"]))


def newest(trail: Trail, limit: int, offset: int = 0, **filters: Any) -> list[dict[str, Any]]:
    """So many events, the newest first, after leaving out `offset`."""
    if limit <= 0:
        return []
    return list(islice(trail.query(**filled(filters), limit=limit + offset), offset, None))


def text(value: Any) -> str | None:
    """An id as text; the value of an enum's member, not its name."""
    value = getattr(value, "value", value)
    if value is None:
        return None
    try:
        return str(value)
    except Exception:
        # What cannot say what it is must not keep its event out of the log.
        return f"<{type(value).__name__}>"


def filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What of these was given."""
    return {name: value for name, value in fields.items() if value is not None}
