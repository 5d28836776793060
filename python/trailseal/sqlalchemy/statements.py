"""Statements on tables of marked models that no session's hooks see: told without their rows. They are watched at
the cursor."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

from .. import Trail
from ..outbox import Outbox
from . import transactions
from .marks import mapper_of_table, marks_of
from .rows import event as event_of
from .seen import is_seen

_STATEMENT_MAX = 2_000


def record_statements(engine: Any, trail: Trail | Outbox) -> None:
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

    def after_cursor_execute(
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        told = _event(connection, cursor, context)
        if told is not None:
            transactions.add(connection, trail, [told])

    event.listen(target, "after_cursor_execute", after_cursor_execute)


def _event(connection: Connection, cursor: Any, context: Any) -> dict[str, Any] | None:
    kind = "create" if context.isinsert else "update" if context.isupdate else "delete" if context.isdelete else None
    if kind is None or context.compiled is None:
        return None
    mapper = mapper_of_table(getattr(context.compiled.statement, "table", None))
    marks = marks_of(mapper)
    if marks is None or is_seen(connection):
        return None
    rows = cursor.rowcount if isinstance(cursor.rowcount, int) and cursor.rowcount >= 0 else None
    # The text has names where the values were.
    details = {"rows": rows, "statement": str(context.compiled)[:_STATEMENT_MAX]}
    return event_of(f"unseen_{kind}", marks, None, details=details)
