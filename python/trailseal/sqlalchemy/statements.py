"""Statements on tables of marked models that no session's hooks see: told without their rows.

They are watched at the cursor, so their transaction is the connection's. SQLAlchemy has no hook after a
connection's COMMIT, so they are recorded just before it.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event

from .. import Trail
from .marks import mapper_of_table, marks_of
from .pending import Event, record
from .rows import event as event_of
from .seen import is_seen

_STATEMENT_MAX = 2_000


# What each connection has done and not committed: a list for its transaction and one for each savepoint.
_frames: WeakKeyDictionary[Connection, list[list[Event]]] = WeakKeyDictionary()


def _frames_of(connection: Connection) -> list[list[Event]]:
    return _frames.setdefault(connection, [[]])


def record_statements(engine: Any, trail: Trail) -> None:
    """From now on an INSERT, UPDATE or DELETE on the table of a model that is marked by :func:`audited`, and that
    :func:`record_changes` does not see, becomes an event such as ``invoice.unseen_update``, with the number of
    rows:
    ``Session.bulk_save_objects`` and the like, statements on a connection, and sessions that are not watched.
    ``engine`` is an ``Engine`` or an ``AsyncEngine``. Not even this sees ``text()``.

    The event is recorded just before the COMMIT of its connection: where that COMMIT fails, it was recorded in
    vain.
    """
    target = getattr(engine, "sync_engine", engine)
    if not isinstance(target, Engine):
        raise TypeError(f"{engine!r} is no engine")

    def committed(connection: Connection) -> None:
        events = [one for frame in _frames_of(connection) for one in frame]
        _rolled_back(connection)
        record(trail, events)

    event.listen(target, "after_cursor_execute", _after_cursor_execute)
    event.listen(target, "commit", committed)
    event.listen(target, "rollback", _rolled_back)
    event.listen(target, "savepoint", _savepoint)
    event.listen(target, "release_savepoint", _released)
    event.listen(target, "rollback_savepoint", _rolled_back_savepoint)


def _after_cursor_execute(
    connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> None:
    kind = "create" if context.isinsert else "update" if context.isupdate else "delete" if context.isdelete else None
    if kind is None or context.compiled is None:
        return
    mapper = mapper_of_table(getattr(context.compiled.statement, "table", None))
    marks = marks_of(mapper)
    if marks is None or is_seen(connection):
        return
    rows = cursor.rowcount if isinstance(cursor.rowcount, int) and cursor.rowcount >= 0 else None
    # The text has names where the values were.
    details = {"rows": rows, "statement": str(context.compiled)[:_STATEMENT_MAX]}
    _frames_of(connection)[-1].append(event_of(f"unseen_{kind}", marks, None, details=details))


def _rolled_back(connection: Connection) -> None:
    _frames[connection] = [[]]


def _savepoint(connection: Connection, name: str) -> None:
    _frames_of(connection).append([])


def _released(connection: Connection, name: str, context: Any) -> None:
    frames = _frames_of(connection)
    if len(frames) > 1:
        released = frames.pop()
        frames[-1] += released


def _rolled_back_savepoint(connection: Connection, name: str, context: Any) -> None:
    frames = _frames_of(connection)
    if len(frames) > 1:
        frames.pop()
