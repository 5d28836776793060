"""What connections have changed and not committed yet.

What must hold: an event is recorded only when the transaction of its change commits, and never if a rollback, of the
whole or of any savepoint around the change, took it back. Transactions are the connection's: a session may join one that
somebody else ends, leave it without a word, and be taken back with it. So events wait here, by connection, each with
the savepoints that are around it, and not in the session.

SQLAlchemy has no hook after the COMMIT of a connection. Where a session commits, it tells when that is done; the
events of all other transactions are recorded just before it.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import ReferenceType, WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, NestedTransaction, RootTransaction, event

from .. import Trail
from ..outbox import Outbox
from .recording import Event, record_all


class Committer(Protocol):
    """A session, as far as transactions are concerned."""

    def is_committing(self) -> bool:
        """Whether it is at work on the COMMITs of its connections."""
        ...

    def commits(self, changes: list[Change]) -> None:
        """Takes what is about to be committed: it is to be recorded if that succeeds."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Events that wait for a COMMIT."""

    trail: Trail
    events: list[Event]
    session: Committer | None
    savepoints: frozenset[str]


class _Transaction:
    """Of one connection."""

    __slots__ = ("changes", "root")

    def __init__(self, root: RootTransaction) -> None:
        # It holds its connection, which is the key to this.
        self.root: ReferenceType[RootTransaction] = weakref.ref(root)
        self.changes: list[Change] = []


_open: WeakKeyDictionary[Connection, _Transaction] = WeakKeyDictionary()
_watched: WeakSet[Engine] = WeakSet()


def add(connection: Connection, trail: Trail | Outbox, events: list[Event], session: Committer | None = None) -> None:
    """Events of what this connection has just changed."""
    if isinstance(trail, Outbox):
        # They are in the transaction itself, and every rollback takes them along.
        trail.record_all(connection, events)
        return
    root = connection.get_transaction()
    if root is None or _autocommits(connection):
        record_all([(trail, events)])
        return
    _watch(connection.engine)
    transaction = _open.get(connection)
    if transaction is None or transaction.root() is not root:
        transaction = _open[connection] = _Transaction(root)
    transaction.changes.append(Change(trail, events, session, _savepoints(connection)))


def take(connection: Connection, session: Committer) -> list[Change]:
    """What this session has changed: it does not wait for the connection's COMMIT."""
    transaction = _open.get(connection)
    if transaction is None:
        return []
    taken = [change for change in transaction.changes if change.session is session]
    transaction.changes = [change for change in transaction.changes if change.session is not session]
    return taken


def _autocommits(connection: Connection) -> bool:
    """Whether its database commits each statement, whatever becomes of what SQLAlchemy calls a transaction."""
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        # Of all connections of the engine.
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return level == "AUTOCOMMIT"


def _savepoints(connection: Connection) -> frozenset[str]:
    """The names of those that are open. A connection gives no name twice."""
    names = []
    nested: NestedTransaction | None = connection.get_nested_transaction()
    while nested is not None:
        names.append(nested._savepoint)
        nested = nested._previous_nested
    return frozenset(names)


def _watch(engine: Engine) -> None:
    if engine in _watched:
        return
    _watched.add(engine)
    event.listen(engine, "commit", _commits)
    event.listen(engine, "commit_twophase", _commits)
    event.listen(engine, "rollback", _rolled_back)
    event.listen(engine, "rollback_twophase", _rolled_back)
    event.listen(engine, "rollback_savepoint", _savepoint_rolled_back)


def _commits(connection: Connection, *_: Any) -> None:
    transaction = _open.pop(connection, None)
    if transaction is None or transaction.root() is not connection.get_transaction():
        return
    changes = transaction.changes
    sessions = (change.session for change in changes if change.session is not None)
    session = next((session for session in sessions if session.is_committing()), None)
    if session is not None:
        session.commits(changes)
    else:
        record_all((change.trail, change.events) for change in changes)


def _rolled_back(connection: Connection, *_: Any) -> None:
    _open.pop(connection, None)


def _savepoint_rolled_back(connection: Connection, name: str, *_: Any) -> None:
    transaction = _open.get(connection)
    if transaction is not None:
        transaction.changes = [change for change in transaction.changes if name not in change.savepoints]
