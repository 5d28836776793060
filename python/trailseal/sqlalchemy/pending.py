"""What a session has changed and not committed yet.

What must hold: an event is recorded only after the COMMIT of the outermost transaction that its change belongs to,
and what a savepoint took back never is. So each transaction and each savepoint has a frame; a savepoint that is
released gives its frame's events to the one around it, and a frame whose transaction ends otherwise is thrown
away.
"""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event
from sqlalchemy.orm import InstanceState, Session, SessionTransaction

from .. import ClosedError, ForkedError, FullError, RefusedError, Trail
from .seen import begin_seen, end_seen

_log = logging.getLogger("trailseal")

_KEY = "trailseal.pending"
# So many events are handed in as one, if they fit.
_TOGETHER = 256

Event = dict[str, Any]


class Frame:
    """Of one transaction or savepoint."""

    __slots__ = ("connections", "events", "transaction")

    def __init__(self, transaction: SessionTransaction) -> None:
        self.transaction = transaction
        self.events: list[Event] = []
        self.connections: set[Connection] = set()


class Pending:
    """Of one session."""

    __slots__ = ("before", "committed", "flushing", "frames", "trail", "waits_for_outer")

    def __init__(self, trail: Trail, waits_for_outer: bool) -> None:
        self.trail = trail
        self.waits_for_outer = waits_for_outer
        self.frames: list[Frame] = []
        self.committed: list[Event] = []
        self.before: dict[InstanceState[Any], dict[str, Any]] = {}
        self.flushing: set[Connection] = set()

    def begin(self, transaction: SessionTransaction) -> None:
        is_known = any(frame.transaction is transaction for frame in self.frames)
        if (transaction.parent is None or transaction.nested) and not is_known:
            self.frames.append(Frame(transaction))

    def add(self, connection: Connection, events: list[Event]) -> None:
        if self.frames:
            self.frames[-1].events += events
            self.frames[-1].connections.add(connection)

    def flushes(self, connection: Connection) -> None:
        """What this connection executes until the flush ends is told of object by object."""
        if connection not in self.flushing:
            self.flushing.add(connection)
            begin_seen(connection)

    def flushed(self) -> None:
        """A flush ended, or failed."""
        for connection in self.flushing:
            end_seen(connection)
        self.flushing.clear()

    def commit(self, session: Session) -> None:
        """Of a savepoint that is released, or of the whole."""
        current = session.get_nested_transaction() or session.get_transaction()
        if not self.frames or self.frames[-1].transaction is not current:
            # Watched twice, as a class and as what inherits from it.
            return
        done = self.frames.pop()
        if self.frames:
            self.frames[-1].events += done.events
            self.frames[-1].connections |= done.connections
            return
        outer = next((one for one in done.connections if one.in_transaction()), None)
        if outer is not None and self.waits_for_outer:
            # The session was joined to a transaction that somebody else commits.
            _of_connection(outer, self.trail).events += done.events
        else:
            self.committed = done.events

    def end(self, transaction: SessionTransaction) -> None:
        """Of any transaction, whatever became of it."""
        self.flushed()
        while self.frames and any(frame.transaction is transaction for frame in self.frames):
            self.frames.pop()
        if transaction.parent is None:
            self.before.clear()
            # Here rather than at the COMMIT: no connection is held meanwhile, and an error leaves the session
            # usable.
            events, self.committed = self.committed, []
            record(self.trail, events)


def pending_of(session: Session | None) -> Pending | None:
    """What this session has pending; ``None`` where it is not watched."""
    return None if session is None else session.info.get(_KEY)


def watch(session: Session, transaction: SessionTransaction, trail: Trail, waits_for_outer: bool) -> None:
    """Called at the begin of every transaction."""
    pending = session.info.get(_KEY)
    if pending is None:
        pending = session.info[_KEY] = Pending(trail, waits_for_outer)
    pending.begin(transaction)


def record(trail: Trail, events: list[Event]) -> None:
    """Records what was committed. An error in one part keeps no other part out; the first one is raised in the end."""
    _record_each(trail, [events[start : start + _TOGETHER] for start in range(0, len(events), _TOGETHER)])


def _record_each(trail: Trail, parts: list[list[Event]]) -> None:
    first: Exception | None = None
    for place, part in enumerate(parts):
        try:
            _record_together(trail, part)
        except Exception as error:
            first = first or error
        except BaseException:
            # Cancelled: nothing can be waited for any more, but what is committed stays so.
            for rest in parts[place + 1 :]:
                _hand_in(trail, rest)
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
        _record_each(trail, [events[:half], events[half:]])


def _hand_in(trail: Trail, events: list[Event]) -> None:
    try:
        trail._begin_all(events, None)
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


class _OfConnection:
    """Events of sessions that were joined to a transaction of this connection."""

    __slots__ = ("events", "trail")

    def __init__(self, trail: Trail) -> None:
        self.trail = trail
        self.events: list[Event] = []


_joined: WeakKeyDictionary[Connection, _OfConnection] = WeakKeyDictionary()


def _of_connection(connection: Connection, trail: Trail) -> _OfConnection:
    waiting = _joined.get(connection)
    if waiting is None:
        waiting = _joined[connection] = _OfConnection(trail)
        event.listen(connection, "commit", _outer_committed)
        event.listen(connection, "rollback", _outer_rolled_back)
    return waiting


def _outer_committed(connection: Connection) -> None:
    waiting = _joined.get(connection)
    if waiting is not None:
        events, waiting.events = waiting.events, []
        record(waiting.trail, events)


def _outer_rolled_back(connection: Connection) -> None:
    waiting = _joined.get(connection)
    if waiting is not None:
        waiting.events = []
