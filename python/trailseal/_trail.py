"""The trail with its awaitable forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

from ._trailseal import Awaited, Receipt
from ._trailseal import Trail as _NativeTrail
from ._types import Ack, EventFields

if TYPE_CHECKING:
    from types import TracebackType


class Trail(_NativeTrail):
    """An application's audit trail: a folder. Safe for threads, asyncio, and forks."""

    async def record_async(self, action: str, **fields: Unpack[EventFields]) -> Receipt:
        """As ``record``, without blocking the event loop: the loop goes on while the event becomes durable."""
        handed_in = self._begin(action, fields)
        if isinstance(handed_in, Receipt):
            return handed_in
        receipt: Receipt = await _wait(handed_in)
        return receipt

    async def record_all_async(self, events: Iterable[Mapping[str, Any]], *, ack: Ack | None = None) -> list[Receipt]:
        """As ``record_all``, without blocking the event loop."""
        handed_in = self._begin_all(events, ack)
        if isinstance(handed_in, list):
            return handed_in
        receipts: list[Receipt] = await _wait(handed_in)
        return receipts

    async def flush_async(self, timeout: float = 10.0) -> bool:
        """As ``flush``, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(self.flush, timeout)

    async def close_async(self, timeout: float = 10.0) -> None:
        """As ``close``, without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self.close, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_async()


async def _wait(handed_in: Awaited) -> Any:
    # Only who waits needs asyncio, which takes longer to import than everything else.
    from . import _loop

    return await _loop.wait(handed_in)


def _reopen(cls: type[Trail], settings: dict[str, Any]) -> Trail:
    """The trail that was sent from another process."""
    return cls.open(**settings)
