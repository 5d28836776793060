"""Changes of single objects, as a flush writes them.

The hooks of the mapper are used rather than those of the session: only there the keys that relationships set,
orphans that are deleted, and what defaults and the database filled in are known. They may use the flush's
connection, and do, for what the object does not have. To let an attribute load its old value when it is set
(``active_history``) would be simpler, and would break sessions of asyncio, where setting an attribute must not ask
the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Connection, inspect
from sqlalchemy.orm import InstanceState, Mapper, object_session

from .marks import Marks, columns_of, marks_of
from .pending import Pending, pending_of
from .rows import Identity, Row, event, identity_of, plain, read_row


def _watched(mapper: Mapper[Any], target: Any) -> tuple[Marks, Pending] | None:
    marks = marks_of(mapper)
    pending = None if marks is None else pending_of(object_session(target))
    return None if marks is None or pending is None else (marks, pending)


def before_insert(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    watched = _watched(mapper, target)
    if watched is not None:
        watched[1].flushes(connection)


def after_insert(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    watched = _watched(mapper, target)
    if watched is None:
        return
    marks, pending = watched
    state: InstanceState[Any] = inspect(target)
    after, unknown = _now(state, ((key, column) for key, column in columns_of(mapper) if key not in marks.exclude))
    unset = {key for key, column in unknown if not _is_filled_in(column) and key not in state.dict}
    identity = identity_of(mapper, state.dict) or ()
    after |= dict.fromkeys(unset)
    after |= read_row(connection, mapper, identity, {key for key, _ in unknown} - unset)
    pending.add(connection, [event("create", marks, identity, row=_named(marks, state), after=after)])


def _replaced(mapper: Mapper[Any], state: InstanceState[Any]) -> Row | None:
    """The row that a new object takes over: one with its key is deleted in the same flush, so that becomes an
    UPDATE."""
    session = state.session
    if session is None:
        return None
    existing = session.identity_map.get(mapper.identity_key_from_instance(state.obj()))
    if existing is None or existing is state.obj():
        return None
    before, _ = _before(inspect(existing), columns_of(mapper))
    return before


def before_update(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    watched = _watched(mapper, target)
    if watched is None:
        return
    marks, pending = watched
    pending.flushes(connection)
    state: InstanceState[Any] = inspect(target)
    before, missing = _before(state, columns_of(mapper))
    attributes = state.attrs
    wanted = {key for key, column in missing if attributes[key].history.added or _is_updated_by_itself(column)}
    # Not changed, but the event is told by them.
    named = {key for key, _ in missing if key in marks.named} - wanted
    read = read_row(connection, mapper, _key(state), wanted | named)
    # A computed name is gone after the flush.
    pending.named[state] = _named(marks, state) | {key: read.pop(key) for key in named if key in read}
    pending.before[state] = before | read


def after_update(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    watched = _watched(mapper, target)
    if watched is None:
        return
    marks, pending = watched
    state: InstanceState[Any] = inspect(target)
    before = pending.before.pop(state, None)
    row = pending.named.pop(state, {}) | _named(marks, state)
    if before is None:
        before = _replaced(mapper, state)
    if before is None:
        return
    after, unknown = _now(state, ((key, column) for key, column in columns_of(mapper) if key in before))
    identity = identity_of(mapper, {**before, **after}) or _key(state)
    after |= read_row(connection, mapper, identity, {key for key, _ in unknown})
    told = update_event(mapper, marks, identity, {**row, **before}, after)
    if told is not None:
        pending.add(connection, [told])


def update_event(
    mapper: Mapper[Any],
    marks: Marks,
    identity: Identity,
    before: Row,
    after: Row,
    details: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """The event of a row with what changed in it; ``None`` if nothing did."""
    types = {key: column.type for key, column in columns_of(mapper)}
    changed = [
        key for key in after if key in before and key in types and not types[key].compare_values(before[key], after[key])
    ]
    if not changed:
        return None
    details = dict(details or {})
    left_out = sorted(key for key in changed if key in marks.exclude)
    if left_out:
        details["changed_but_not_recorded"] = left_out
    told = event(
        "update",
        marks,
        identity,
        row={**before, **after},
        before={key: before[key] for key in changed if key not in marks.exclude},
        after={key: after[key] for key in changed if key not in marks.exclude},
        details=details,
    )
    old = identity_of(mapper, before)
    if old is not None and old != identity:
        told.setdefault("details", {})["previous_id"] = ",".join(str(part) for part in old)
    return told


def before_delete(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    watched = _watched(mapper, target)
    if watched is None:
        return
    marks, pending = watched
    pending.flushes(connection)
    state: InstanceState[Any] = inspect(target)
    read = marks.named | {key for key, _ in columns_of(mapper)} - marks.exclude
    before, missing = _before(state, ((key, column) for key, column in columns_of(mapper) if key in read))
    before |= read_row(connection, mapper, _key(state), {key for key, _ in missing})
    pending.before[state] = before


def after_delete(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    watched = _watched(mapper, target)
    if watched is None:
        return
    marks, pending = watched
    state: InstanceState[Any] = inspect(target)
    before = pending.before.pop(state, None)
    if before is not None:
        kept = {key: value for key, value in before.items() if key not in marks.exclude}
        pending.add(connection, [event("delete", marks, _key(state), row=_named(marks, state) | before, before=kept)])


_Columns = Iterable[tuple[str, Column[Any]]]


def _before(state: InstanceState[Any], columns: _Columns) -> tuple[Row, list[tuple[str, Column[Any]]]]:
    """What the row has before the flush, as far as the object knows it, and the columns that it does not know."""
    row: Row = {}
    missing: list[tuple[str, Column[Any]]] = []
    attributes = state.attrs
    for key, column in columns:
        history = attributes[key].history
        if history.deleted:
            row[key] = plain(history.deleted[0])
        elif history.unchanged:
            row[key] = plain(history.unchanged[0])
        else:
            # Expired, deferred, never loaded, or changed in place.
            missing.append((key, column))
    return row, missing


def _now(state: InstanceState[Any], columns: _Columns) -> tuple[Row, list[tuple[str, Column[Any]]]]:
    """What the object has after the flush, and the columns that only the database knows."""
    row: Row = {}
    unknown: list[tuple[str, Column[Any]]] = []
    for key, column in columns:
        if key in state.dict and not hasattr(state.dict[key], "__clause_element__"):
            row[key] = plain(state.dict[key])
        else:
            unknown.append((key, column))
    return row, unknown


def _named(marks: Marks, state: InstanceState[Any]) -> Row:
    """What of the object its events are told by, as far as it has that."""
    held = state.dict
    return {key: held[key] for key in marks.named if key in held and not hasattr(held[key], "__clause_element__")}


def _is_updated_by_itself(column: Column[Any]) -> bool:
    return column.onupdate is not None or column.server_onupdate is not None


def _is_filled_in(column: Column[Any]) -> bool:
    return column.server_default is not None or column.default is not None or column.computed is not None


def _key(state: InstanceState[Any]) -> Identity:
    return tuple(state.identity or ())
