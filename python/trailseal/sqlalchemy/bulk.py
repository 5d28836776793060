"""Rows that one statement touches: ``update()``, ``delete()`` and ``insert()`` through a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Result, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Mapper, ORMExecuteState

from .flush import update_event
from .marks import Marks, columns_of, mapper_of_table, marks_of
from .pending import Pending, pending_of
from .rows import Identity, Row, event, identity_of, of_identities, plain
from .seen import seen

# Nothing here is about the values of a statement: they are in its rows.
_WHERE_MAX = 2_000
# An execution option of a statement that is told of already.
_SEEN = "trailseal_seen"


def do_orm_execute(state: ORMExecuteState) -> Result[Any] | None:
    if not (state.is_update or state.is_delete or state.is_insert) or _SEEN in state.execution_options:
        return None
    state.update_execution_options(**{_SEEN: True})
    mapper = state.bind_mapper or mapper_of_table(getattr(state.statement, "table", None))
    marks, pending = marks_of(mapper), pending_of(state.session)
    if mapper is None or marks is None or pending is None:
        return None
    statement = _Statement(state, mapper, marks, pending)
    if state.is_insert:
        return statement.insert()
    return statement.update() if state.is_update else statement.delete()


class _Statement:
    """One statement, on its way to the database."""

    def __init__(self, state: ORMExecuteState, mapper: Mapper[Any], marks: Marks, pending: Pending) -> None:
        self._state = state
        self._mapper = mapper
        self._marks = marks
        self._pending = pending
        self._statement: Any = state.statement
        self._options = {
            name: state.execution_options[name] for name in ("schema_translate_map",) if name in state.execution_options
        }

    def update(self) -> Result[Any]:
        connection = self._connection()
        before = self._rows_before(connection)
        result = self._invoke(connection)
        identities = list(before)[: self._marks.bulk_rows]
        after = self._rows(connection, [of_identities(self._mapper, identities)], {}) if identities else {}
        events = []
        for identity in identities:
            if identity in after:
                told = update_event(self._mapper, self._marks, identity, before[identity], after[identity], {"bulk": True})
            else:
                told = self._gone(identity, before[identity])
            if told is not None:
                events.append(told)
        self._add(connection, "update", events, self._count(result, len(before)), len(identities))
        return result

    def _gone(self, identity: Identity, before: Row) -> dict[str, Any]:
        """A row whose primary key the statement changed, so that nobody knows which row it is now."""
        kept = {key: value for key, value in before.items() if key not in self._marks.exclude}
        details = {"bulk": True, "after": "not found by the key that it had before"}
        return event("update", self._marks, identity, row=before, before=kept, details=details)

    def delete(self) -> Result[Any]:
        connection = self._connection()
        before = self._rows_before(connection)
        result = self._invoke(connection)
        events = []
        for identity in list(before)[: self._marks.bulk_rows]:
            row = before[identity]
            kept = {key: value for key, value in row.items() if key not in self._marks.exclude}
            events.append(event("delete", self._marks, identity, row=row, before=kept, details={"bulk": True}))
        self._add(connection, "delete", events, self._count(result, len(before)), len(events))
        return result

    def insert(self) -> Result[Any]:
        connection = self._connection()
        rows = self._rows_given()
        self._state.update_execution_options(preserve_rowcount=True)
        result = self._invoke(connection)
        details: dict[str, Any] = {"bulk": True}
        if getattr(self._statement, "_post_values_clause", None) is not None:
            # Which of the rows were there already only the database knows.
            details["on_conflict"] = True
        events = []
        for row in rows[: self._marks.bulk_rows]:
            identity = identity_of(self._mapper, row) or (_inserted(result) if len(rows) == 1 else None)
            kept = {key: value for key, value in row.items() if key not in self._marks.exclude}
            events.append(event("create", self._marks, identity, row=row, after=kept, details=details))
        self._add(connection, "create", events, self._count(result, len(rows) or None), len(events))
        return result

    def _invoke(self, connection: Connection) -> Result[Any]:
        with seen(connection):
            return self._state.invoke_statement()

    def _connection(self) -> Connection:
        session = self._state.session
        # What is to be flushed is flushed before the statement, and so before its rows are read.
        if session.autoflush and self._state.execution_options.get("autoflush", True):
            session.flush()
        arguments = {**self._state.bind_arguments, "mapper": self._mapper}
        return session.connection(bind_arguments=arguments)

    def _rows_before(self, connection: Connection) -> dict[Identity, Row]:
        """The rows that the statement is about to touch: one more than are told of, if there are so many."""
        parameters = self._state.parameters
        if isinstance(parameters, Sequence):
            # An update by primary keys has no WHERE: without the keys it would be every row.
            rows = [self._by_attribute(one) for one in parameters[: self._marks.bulk_rows + 1]]
            identities = [one for row in rows if (one := identity_of(self._mapper, row)) is not None]
            return self._rows(connection, [of_identities(self._mapper, identities)], {}) if identities else {}
        where = self._statement.whereclause
        return self._rows(connection, [] if where is None else [where], parameters or {})

    def _rows(self, connection: Connection, where: Sequence[Any], parameters: Mapping[str, Any]) -> dict[Identity, Row]:
        keys = [key for key, _ in columns_of(self._mapper)]
        # Attributes of the class rather than columns: of one that shares its table, only its own rows.
        read = select(*(getattr(self._mapper.class_, key) for key in keys)).where(*where)
        read = read.options(*getattr(self._statement, "_with_options", ())).limit(self._marks.bulk_rows + 1)
        known = {name: value for name, value in parameters.items() if name in read.compile().params}
        found: dict[Identity, Row] = {}
        for values in connection.execute(read, known, execution_options=self._options):
            row = {key: plain(value) for key, value in zip(keys, values, strict=True)}
            identity = identity_of(self._mapper, row)
            if identity is not None:
                found[identity] = row
        return found

    def _rows_given(self) -> list[Row]:
        """The rows of an insert; none where a SELECT gives them."""
        parameters = self._state.parameters
        fixed = self._by_attribute(getattr(self._statement, "_values", None) or {})
        if isinstance(parameters, Sequence):
            return [{**fixed, **self._by_attribute(one)} for one in parameters]
        if parameters:
            return [{**fixed, **self._by_attribute(parameters)}]
        several = getattr(self._statement, "_multi_values", ())
        rows = [self._by_attribute(one) for group in several for one in group if isinstance(one, Mapping)]
        return rows or ([fixed] if fixed else [])

    def _by_attribute(self, given: Mapping[Any, Any]) -> Row:
        """Values by the names of attributes; a statement may name the column, or be the column."""
        names = {column.key: key for key, column in columns_of(self._mapper)}
        row: Row = {}
        for name, value in given.items():
            key = str(getattr(name, "key", name))
            key = key if any(key == known for known in names.values()) else names.get(key, key)
            literal = getattr(value, "value", None) if hasattr(value, "__clause_element__") else value
            row[key] = plain(literal) if not hasattr(literal, "__clause_element__") else str(literal)
        return row

    def _count(self, result: Result[Any], seen: int | None) -> int | None:
        """How many rows were touched; ``None`` if the driver does not say and none was seen."""
        count = getattr(result, "rowcount", -1)
        return count if isinstance(count, int) and count >= 0 else seen

    def _add(self, connection: Connection, kind: str, events: list[dict[str, Any]], touched: int | None, told: int) -> None:
        """With one event more for rows that have none of their own."""
        if touched is None or touched > told:
            rest = None if touched is None else touched - told
            details: dict[str, Any] = {"rows": touched, "recorded": told, "not_recorded": rest}
            where = getattr(self._statement, "whereclause", None)
            if where is not None:
                details["where"] = str(where)[:_WHERE_MAX]
            events.append(event(f"bulk_{kind}", self._marks, None, details=details))
        if events:
            self._pending.add(connection, events)


def _inserted(result: Result[Any]) -> Identity | None:
    try:
        key = getattr(result, "inserted_primary_key", None)
    except InvalidRequestError:
        return None
    return tuple(key) if key is not None and all(part is not None for part in key) else None
