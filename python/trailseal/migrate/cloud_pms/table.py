"""`db.table("pms_audit_log")` for the places that write to the table themselves.

`wrap(db)` gives back the same client, except that this one table is a trail: rows can be inserted and selected,
and nothing else. All other tables stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from trailseal.migrate._home import filled, newest, text

from .home import home
from .row import event_of, instant, row_of

TABLE: Final = "pms_audit_log"
#: How many rows a selection without `limit` gives, as PostgREST does.
LIMIT: Final = 1000
MICROSECOND: Final = timedelta(microseconds=1)


class NotInAnAuditLog(TypeError):
    """Something was asked of the audit log that it does not do, such as changing a row."""


class Answer:
    """What `execute()` gives."""

    def __init__(self, data: list[dict[str, Any]], count: int | None = None) -> None:
        self.data = data
        self.count = count


class Insert:
    """Rows that are about to be recorded: all of them, or none."""

    def __init__(self, rows: list[Mapping[str, Any]]) -> None:
        self._rows = rows

    def execute(self) -> Answer:
        """Records them, and returns when they are on disk. It raises what the trail raises, as a table does."""
        events = []
        for row in self._rows:
            action, fields = event_of(row)
            events.append({"action": action} | fields)
        receipts = home.using(lambda trail: trail.record_all(events, ack="durable"))
        rows = zip(self._rows, receipts, strict=True)
        return Answer([dict(row) | {"id": receipt.id} for row, receipt in rows])


class Select:
    """A selection, newest first unless it says otherwise."""

    def __init__(self, columns: str, count: str | None) -> None:
        self._columns = [column.strip() for column in columns.split(",")]
        self._is_counted = count is not None
        self._filters: dict[str, Any] = {}
        self._entity: dict[str, str] = {}
        self._limit = LIMIT
        self._offset = 0

    def eq(self, column: str, value: Any) -> Select:
        """Only rows with this value."""
        named = {"id": "id", "yacht_id": "tenant", "action": "action"} | dict.fromkeys(
            ("user_id", "created_by", "actor_id"), "actor"
        )
        if column in ("entity_type", "entity_id"):
            self._entity[column] = str(text(value))
        elif column in named:
            self._filters[named[column]] = text(value)
        else:
            raise NotInAnAuditLog(f"rows of {TABLE} cannot be selected by {column!r}")
        return self

    def gte(self, column: str, value: Any) -> Select:
        """Only rows that are at least this new."""
        return self._bound(column, "since", value, 0)

    def gt(self, column: str, value: Any) -> Select:
        """Only newer rows."""
        return self._bound(column, "since", value, 1)

    def lt(self, column: str, value: Any) -> Select:
        """Only older rows."""
        return self._bound(column, "until", value, 0)

    def lte(self, column: str, value: Any) -> Select:
        """Only rows that are at least this old."""
        return self._bound(column, "until", value, 1)

    def order(self, column: str, *, desc: bool = False, **_: Any) -> Select:
        """By `created_at`, the only order that there is."""
        if column != "created_at":
            raise NotInAnAuditLog(f"rows of {TABLE} are ordered by created_at, not by {column!r}")
        self._filters["order"] = "desc" if desc else "asc"
        return self

    def limit(self, count: int) -> Select:
        """At most so many."""
        self._limit = count
        return self

    def range(self, first: int, last: int) -> Select:
        """The rows from number `first` to number `last`, both included, from 0."""
        self._offset, self._limit = first, last - first + 1
        return self

    def execute(self) -> Answer:
        """Reads them."""
        filters = dict(self._filters)
        if self._entity:
            filters["resource"] = self._resource()
        rows = [row_of(event) for event in newest(home.trail(), self._limit, self._offset, **filters)]
        filters.pop("order", None)
        count = home.trail().count(**filled(filters)) if self._is_counted else None
        if self._columns != ["*"]:
            rows = [{column: row.get(column) for column in self._columns} for row in rows]
        return Answer(rows, count)

    def _resource(self) -> Any:
        kind, id = self._entity.get("entity_type"), self._entity.get("entity_id")
        if kind is None:
            raise NotInAnAuditLog(f"select rows of {TABLE} by entity_type, too, not by entity_id alone")
        return kind if id is None else (kind, id)

    def _bound(self, column: str, name: str, value: Any, microseconds: int) -> Select:
        when = instant(value)
        if column != "created_at" or when is None:
            raise NotInAnAuditLog(f"rows of {TABLE} can only be bounded by created_at and a time")
        self._filters[name] = when + microseconds * MICROSECOND
        return self


class AuditTable:
    """The audit log as a table."""

    def insert(self, rows: Any, **_: Any) -> Insert:
        """One row, or several as one."""
        return Insert([rows] if isinstance(rows, Mapping) else list(rows))

    def select(self, *columns: str, count: str | None = None, **_: Any) -> Select:
        """Columns by their names, or `*`; `count="exact"` counts what matches."""
        return Select(",".join(columns) or "*", count)

    def __getattr__(self, name: str) -> Any:
        raise NotInAnAuditLog(f"{TABLE} is an audit log: rows are inserted and selected, but there is no {name}")


class AuditedClient:
    """A client whose audit table is a trail."""

    def __init__(self, db: Any) -> None:
        self._db = db

    def table(self, name: str) -> Any:
        """The table with this name."""
        return AuditTable() if name == TABLE else self._db.table(name)

    from_ = table

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def wrap(db: Any = None) -> AuditedClient:
    """The client `db` with the trail for its `pms_audit_log`. Without one there is only that table."""
    return AuditedClient(db)
