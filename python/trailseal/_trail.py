"""The trail with its awaitable forms."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from . import _loop
from ._trailseal import Receipt
from ._trailseal import Trail as _NativeTrail
from ._types import Ack, EventFields


class Trail(_NativeTrail):
    """An application's audit trail: a folder. Safe for threads, asyncio, and forks."""

    async def record_async(self, action: str, **fields: Unpack[EventFields]) -> Receipt:
        """As ``record``, without blocking the event loop: the loop goes on while the event becomes durable."""
        handed_in = self._hand_in(action, fields)
        if isinstance(handed_in, Receipt):
            return handed_in
        return await _loop.wait(handed_in)

    async def record_all_async(
        self, events: Iterable[Mapping[str, Any]], *, ack: Ack | None = None
    ) -> list[Receipt]:
        """As ``record_all``, without blocking the event loop."""
        receipts, newest = self._hand_in_all(events, ack)
        if newest is None:
            return receipts
        last = await _loop.wait(newest)
        return [receipt.at(last) for receipt in receipts]

    async def flush_async(self, timeout: float = 10.0) -> bool:
        """As ``flush``, without blocking the event loop."""
        return await asyncio.to_thread(self.flush, timeout)

    async def close_async(self, timeout: float = 10.0) -> None:
        """As ``close``, without blocking the event loop."""
        await asyncio.to_thread(self.close, timeout)


def _reopen(cls: type[Trail], settings: dict[str, Any]) -> Trail:
    """The trail that was sent from another process."""
    return cls.open(**settings)
