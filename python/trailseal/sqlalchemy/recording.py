"""Recording what was committed: nothing can take it back any more, so an error in one part keeps no other part out."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from .. import ClosedError, ForkedError, FullError, RefusedError, Trail

_log = logging.getLogger("trailseal")

# So many events are handed in as one, if they fit.
_TOGETHER = 256

Event = dict[str, Any]


def record_all(committed: Iterable[tuple[Trail, list[Event]]]) -> None:
    """Records events of several trails. The first error is raised in the end."""
    of_trails: dict[Trail, list[Event]] = {}
    for trail, events in committed:
        of_trails.setdefault(trail, []).extend(events)
    parts = [(trail, part) for trail, events in of_trails.items() for part in _parts(events)]
    _record_each(parts)


def record(trail: Trail, events: list[Event]) -> None:
    """Records events of one trail. The first error is raised in the end."""
    _record_each([(trail, part) for part in _parts(events)])


def _parts(events: list[Event]) -> list[list[Event]]:
    return [events[start : start + _TOGETHER] for start in range(0, len(events), _TOGETHER)]


def _record_each(parts: list[tuple[Trail, list[Event]]]) -> None:
    first: Exception | None = None
    for place, (trail, part) in enumerate(parts):
        try:
            _record_together(trail, part)
        except Exception as error:
            first = first or error
        except BaseException:
            # Cancelled: nothing can be waited for any more, but what is committed stays so.
            for of_rest, rest in parts[place + 1 :]:
                _hand_in(of_rest, rest)
            raise
    if first is not None:
        raise first


def _record_together(trail: Trail, events: list[Event]) -> None:
    try:
        _record_all(trail, events)
    except (ClosedError, ForkedError, FullError):
        raise
    except RefusedError:
        if len(events) == 1:
            raise
        # More than goes into the buffer as one.
        half = len(events) // 2
        _record_each([(trail, events[:half]), (trail, events[half:])])


def _hand_in(trail: Trail, events: list[Event]) -> None:
    try:
        handed_in = trail._begin_all(events, None)
        if not isinstance(handed_in, list):
            handed_in.let_go()
    except Exception as error:
        if isinstance(error, RefusedError) and len(events) > 1:
            half = len(events) // 2
            _hand_in(trail, events[:half])
            _hand_in(trail, events[half:])
        else:
            _log.error("%d events of a transaction whose commit was cancelled were not recorded: %s", len(events), error)


def _record_all(trail: Trail, events: list[Event]) -> None:
    from sqlalchemy.util.concurrency import in_greenlet

    if in_greenlet():
        # Of an AsyncSession: its event loop goes on while the policy wants the disk.
        from sqlalchemy.util import await_only

        await_only(trail.record_all_async(events))
    else:
        trail.record_all(events)
