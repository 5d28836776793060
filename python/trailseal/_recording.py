"""How the event of a request is recorded: what was done stays done, so that its event was refused is told to the
operator, and no reason to answer the client otherwise."""

from __future__ import annotations

import logging

from . import Receipt, Trail
from ._loop import wait
from ._trailseal import Awaited
from ._types import EventFields

_log = logging.getLogger("trailseal")


def record(trail: Trail, action: str, fields: EventFields) -> None:
    """Records, and returns when the event has the level that the policy asks for."""
    try:
        trail.record(action, **fields)
    except Exception as error:
        _told(error)


def hand_in(trail: Trail, action: str, fields: EventFields) -> Awaited | None:
    """Hands the event in at once, in the context of this moment."""
    try:
        handed_in = trail._begin(action, fields)
    except Exception as error:
        _told(error)
        return None
    return None if isinstance(handed_in, Receipt) else handed_in


async def reached(handed_in: Awaited | None) -> None:
    """Waits for the level that the policy asks for."""
    if handed_in is None:
        return
    try:
        await wait(handed_in)
    except Exception as error:
        _told(error)


def let_go(handed_in: Awaited | None) -> None:
    """For what is being cancelled, and so cannot wait: a thread does, where the buffer had no room yet."""
    if handed_in is not None:
        handed_in.let_go()


def _told(error: Exception) -> None:
    _log.error("the event of a request was not recorded as its policy asks: %s", error)
