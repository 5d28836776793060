"""The outbox: audit events that commit, or are rolled back, with the change that they tell of.

::

    from trailseal.outbox import Outbox

    outbox = Outbox(trail)
    with psycopg.connect(url) as connection:          # or a session of SQLAlchemy, or an async one of either
        connection.execute("UPDATE invoices SET paid = true WHERE id = 42")
        outbox.record(connection, "invoice.pay", actor="u1", resource="invoice/42")

The event is completed and masked here, and written by an INSERT into ``trailseal_outbox.events`` of the same database,
in the transaction that is open. After the COMMIT a relay (``trail.relay_outbox(url)``, ``trailseal outbox relay``, or
``trailseal serve`` with ``outbox.url`` set) takes it over into a trail, once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from . import Trail
from ._trailseal import outbox_schema
from ._types import EventFields

__all__ = ["INSERT", "SCHEMA", "Outbox"]

SCHEMA: str = outbox_schema()
"""The SQL that makes the tables, for migrations of your own. To be executed once."""

INSERT = "INSERT INTO trailseal_outbox.events (id, event, masked) VALUES (%s, %s, %s)"
"""The statement, for any driver that writes ``%s`` for a parameter."""

_NAMED = "INSERT INTO trailseal_outbox.events (id, event, masked) VALUES (:id, :event, CAST(:masked AS text[]))"


class Outbox:
    """Writes events of a trail into the outbox of the database to which a connection leads."""

    __slots__ = ("trail",)

    def __init__(self, trail: Trail) -> None:
        self.trail = trail

    def prepare(self, action: str, **fields: Unpack[EventFields]) -> tuple[str, str, list[str]]:
        """The parameters of ``INSERT`` for an event: its id, its JSON text, and the paths that were masked. For drivers
        of which this module knows nothing."""
        return self.trail._prepare(action, fields)

    def record(self, connection: Any, action: str, **fields: Unpack[EventFields]) -> str:
        """Writes an event in the open transaction of ``connection``: a connection or cursor of psycopg, or a ``Session``
        or ``Connection`` of SQLAlchemy. Takes the keywords of ``Trail.record`` but ``ack``. Returns the id that the event
        will have.

        Raises ``ValueError`` if the connection commits every statement by itself.
        """
        prepared = self.trail._prepare(action, fields)
        _execute(connection, prepared)
        return prepared[0]

    async def record_async(self, connection: Any, action: str, **fields: Unpack[EventFields]) -> str:
        """As ``record``, for an ``AsyncConnection`` or ``AsyncCursor`` of psycopg, or an ``AsyncSession`` or
        ``AsyncConnection`` of SQLAlchemy."""
        prepared = self.trail._prepare(action, fields)
        await _execute(connection, prepared)
        return prepared[0]

    def record_all(self, connection: Any, events: Iterable[Mapping[str, Any]]) -> list[str]:
        """Writes several events, each a mapping with ``action`` and the other keywords."""
        ids = []
        for event in events:
            fields = dict(event)
            ids.append(self.record(connection, fields.pop("action"), **fields))
        return ids


def _execute(connection: Any, prepared: tuple[str, str, list[str]]) -> Any:
    if _is_of("sqlalchemy", connection):
        return _execute_sqlalchemy(connection, prepared)
    # What is written outside of a transaction would be there without the change.
    owner = getattr(connection, "connection", connection)
    info = getattr(owner, "info", None)
    if getattr(owner, "autocommit", False) and getattr(info, "transaction_status", None) == 0:
        raise ValueError(f"{_BY_ITSELF}: write the event inside `connection.transaction()`")
    return connection.execute(INSERT, prepared)


_BY_ITSELF = "the connection commits every statement by itself"


def _execute_sqlalchemy(connection: Any, prepared: tuple[str, str, list[str]]) -> Any:
    if hasattr(connection, "registry"):
        # A scoped session: that of asyncio lacks `run_sync`, which the session in it has.
        connection = connection()
    of = connection.get_bind() if hasattr(connection, "get_bind") else connection
    if of.dialect.name != "postgresql":
        raise ValueError(f"the outbox is in PostgreSQL, and this is a connection to {of.dialect.name}")
    if hasattr(connection, "run_sync"):
        return connection.run_sync(_write_sqlalchemy, prepared)
    return _write_sqlalchemy(connection, prepared)


def _write_sqlalchemy(connection: Any, prepared: tuple[str, str, list[str]]) -> None:
    from sqlalchemy import text

    used = connection.connection() if hasattr(connection, "get_bind") else connection
    if getattr(used.connection.dbapi_connection, "autocommit", False):
        raise ValueError(f"{_BY_ITSELF}: its isolation level is AUTOCOMMIT")
    id, event, masked = prepared
    connection.execute(text(_NAMED), {"id": id, "event": event, "masked": masked})


def _is_of(package: str, value: Any) -> bool:
    """Without importing the package: where it is not imported, nothing is of it."""
    return package in sys.modules and any(base.__module__.partition(".")[0] == package for base in type(value).__mro__)
