"""Waiting in an event loop for events to become durable.

Each loop has one file descriptor that the writer of the trail rings. The writer never takes the GIL.
"""

import asyncio
import logging
from typing import Any
from weakref import WeakKeyDictionary

from ._trailseal import Awaited, LoopWaits

_log = logging.getLogger("trailseal")

_waits: "WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWaits]" = WeakKeyDictionary()


def _waits_of(loop: asyncio.AbstractEventLoop) -> LoopWaits:
    waits = _waits.get(loop)
    if waits is None or waits.is_forked():
        waits = LoopWaits()
        loop.add_reader(waits.fileno(), waits.ring)
        _waits[loop] = waits
    return waits


async def wait(handed_in: Awaited) -> Any:
    """The receipt of an event that was handed in, once it has reached its level; of several the list of theirs. To
    cancel it only ends the waiting."""
    loop = asyncio.get_running_loop()
    try:
        waits = _waits_of(loop)
    except NotImplementedError:  # a loop without file descriptors
        return await _wait_in_thread(loop, handed_in)
    future: asyncio.Future[Any] = loop.create_future()
    waits.add(handed_in, future)
    return await future


async def _wait_in_thread(loop: asyncio.AbstractEventLoop, handed_in: Awaited) -> Any:
    work = loop.run_in_executor(None, handed_in.wait)
    try:
        # What is cancelled before a thread has begun with it would never be handed in.
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        work.add_done_callback(_told_nobody)
        raise


def _told_nobody(work: "asyncio.Future[Any]") -> None:
    error = None if work.cancelled() else work.exception()
    if error is not None:
        _log.error("an event whose caller was cancelled was not recorded as its policy asks: %s", error)
