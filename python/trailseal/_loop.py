"""Waiting in an event loop for events to become durable.

Each loop has one file descriptor that the writer of the trail rings. The writer never takes the GIL.
"""

import asyncio
from weakref import WeakKeyDictionary

from ._trailseal import Awaited, LoopWaits, Receipt

_waits: "WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWaits]" = WeakKeyDictionary()


def _waits_of(loop: asyncio.AbstractEventLoop) -> LoopWaits:
    waits = _waits.get(loop)
    if waits is None or waits.is_forked():
        waits = LoopWaits()
        loop.add_reader(waits.fileno(), waits.ring)
        _waits[loop] = waits
    return waits


async def wait(handed_in: Awaited) -> Receipt:
    """The receipt of an event that was handed in, once it has reached its level."""
    if handed_in.needs_room():
        return await asyncio.to_thread(handed_in.wait)
    loop = asyncio.get_running_loop()
    try:
        waits = _waits_of(loop)
    except NotImplementedError:  # a loop without file descriptors
        return await asyncio.to_thread(handed_in.wait)
    future: asyncio.Future[Receipt] = loop.create_future()
    waits.add(handed_in, future)
    return await future
