"""What a session has under way: the flush, and the COMMITs of its connections."""

from __future__ import annotations

import weakref
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState, Session, SessionTransaction

from .. import Trail
from ..outbox import Outbox
from . import transactions
from .recording import Event, record_all
from .seen import begin_seen, end_seen
from .transactions import Change

_KEY = "trailseal.pending"


class Pending:
    """Of one session."""

    __slots__ = (
        "_committed",
        "_committing",
        "_connections",
        "_flushing",
        "_session",
        "_trail",
        "_waits_for_outer",
        "before",
        "named",
    )

    def __init__(self, session: Session, trail: Trail | Outbox, waits_for_outer: bool) -> None:
        # A connection that waits for its COMMIT must not keep the session.
        self._session = weakref.ref(session)
        self._trail = trail
        self._waits_for_outer = waits_for_outer
        self._connections: WeakSet[Connection] = WeakSet()
        self._committing: list[Change] = []
        self._committed: list[Change] = []
        self._flushing: set[Connection] = set()
        self.before: dict[InstanceState[Any], dict[str, Any]] = {}
        self.named: dict[InstanceState[Any], dict[str, Any]] = {}

    def add(self, connection: Connection, events: list[Event]) -> None:
        self._connections.add(connection)
        transactions.add(connection, self._trail, events, self)

    def flushes(self, connection: Connection) -> None:
        """What this connection executes until the flush ends is told of object by object."""
        if connection not in self._flushing:
            self._flushing.add(connection)
            begin_seen(connection)

    def flushed(self) -> None:
        """A flush ended, or failed."""
        for connection in self._flushing:
            end_seen(connection)
        self._flushing.clear()

    def is_committing(self) -> bool:
        session = self._session()
        root = None if session is None else session.get_transaction()
        return root is not None and not root.is_active

    def commits(self, changes: list[Change]) -> None:
        # Its connections commit one after the other, so those before have done so.
        self._committed += self._committing
        self._committing = changes

    def committed(self, session: Session) -> None:
        """A savepoint was released, or all connections that this session commits have committed."""
        if session.get_nested_transaction() is not None:
            return
        self.commits([])
        if not self._waits_for_outer:
            for connection in self._connections:
                self._committed += transactions.take(connection, self)

    def end(self, transaction: SessionTransaction) -> None:
        """Of any transaction, whatever became of it."""
        self.flushed()
        if transaction.parent is None:
            self.before.clear()
            self.named.clear()
            self._committing = []
            # Here rather than at the COMMIT: no connection is held meanwhile, and an error leaves the session
            # usable.
            changes, self._committed = self._committed, []
            record_all((change.trail, change.events) for change in changes)


def pending_of(session: Session | None) -> Pending | None:
    """What this session has pending; ``None`` where it is not watched."""
    return None if session is None else session.info.get(_KEY)


def watch(session: Session, trail: Trail | Outbox, waits_for_outer: bool) -> None:
    """Called at the begin of every transaction."""
    if _KEY not in session.info:
        session.info[_KEY] = Pending(session, trail, waits_for_outer)
