"""Rows as events tell them, read beside the session: on its connection, in its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select
from sqlalchemy.orm import Mapper

from .marks import Marks, columns_of

#: A row by the names of its attributes.
Row = dict[str, Any]
Identity = tuple[Any, ...]


def plain(value: Any) -> Any:
    """The value as it is now: a container may change before the transaction commits."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, set | frozenset):
        return set(value)
    return value


def of_identity(mapper: Mapper[Any], identity: Sequence[Any]) -> ColumnElement[bool]:
    return and_(*(column == value for column, value in zip(mapper.primary_key, identity, strict=True)))


def of_identities(mapper: Mapper[Any], identities: Sequence[Identity]) -> ColumnElement[bool]:
    if len(mapper.primary_key) == 1:
        return mapper.primary_key[0].in_([identity[0] for identity in identities])
    return or_(*(of_identity(mapper, identity) for identity in identities))


def read_row(connection: Connection, mapper: Mapper[Any], identity: Sequence[Any], keys: Iterable[str]) -> Row:
    """What the database has in these columns of a row now; nothing if there is no such row."""
    wanted = set(keys)
    columns = [(key, column) for key, column in columns_of(mapper) if key in wanted]
    if not columns:
        return {}
    statement = select(*(column for _, column in columns)).select_from(mapper.persist_selectable)
    found = connection.execute(statement.where(of_identity(mapper, identity))).first()
    return {} if found is None else {key: plain(value) for (key, _), value in zip(columns, found, strict=True)}


def identity_of(mapper: Mapper[Any], row: Mapping[str, Any]) -> Identity | None:
    """The primary key in a row; ``None`` where the row does not have it."""
    keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    return tuple(row[key] for key in keys) if all(row.get(key) is not None for key in keys) else None


def event(
    kind: str,
    marks: Marks,
    identity: Identity | None,
    *,
    row: Row | None = None,
    before: Row | None = None,
    after: Row | None = None,
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The event of one row. ``row`` is what else is known of it, such as its tenant, where that did not change."""
    known = {**(row or {}), **(before or {}), **(after or {})}
    resource: dict[str, Any] = {"type": marks.resource}
    if identity is not None:
        resource["id"] = ",".join(str(part) for part in identity)
    if marks.name is not None and known.get(marks.name) is not None:
        resource["name"] = str(known[marks.name])
    made: dict[str, Any] = {
        "action": f"{marks.resource}.{kind}",
        "category": "data_change",
        "outcome": "success",
        "resource": resource,
    }
    if marks.tenant is not None and known.get(marks.tenant) is not None:
        made["tenant"] = str(known[marks.tenant])
    if before is not None:
        made["before"] = before
    if after is not None:
        made["after"] = after
    if details:
        made["details"] = dict(details)
    return made
