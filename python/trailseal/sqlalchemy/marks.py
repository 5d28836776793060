"""Which models are audited, and how."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, overload
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Column, Table, inspect
from sqlalchemy.orm import Mapper

_Model = TypeVar("_Model", bound=type[Any])

_ATTRIBUTE = "__audited__"
_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Marks:
    """How changes of a model are told."""

    resource: str
    tenant: str | None
    name: str | None
    exclude: frozenset[str]
    bulk_rows: int


_marked: WeakSet[type[Any]] = WeakSet()


@overload
def audited(model: _Model, /) -> _Model: ...
@overload
def audited(
    *,
    resource: str | None = None,
    tenant: str | None = None,
    name: str | None = None,
    exclude: Iterable[str] = (),
    bulk_rows: int = 100,
) -> Callable[[_Model], _Model]: ...
def audited(
    model: Any = None,
    /,
    *,
    resource: str | None = None,
    tenant: str | None = None,
    name: str | None = None,
    exclude: Iterable[str] = (),
    bulk_rows: int = 100,
) -> Any:
    """Marks a model, and those that inherit from it. Also for a class that is not yours: ``audited(Invoice)``.

    ``resource`` is the type in its events; the name of the class in ``snake_case`` unless given. ``tenant`` and
    ``name`` are attributes that hold the tenant and a name for people. Attributes in ``exclude`` are never read
    into an event; that they changed is told. ``bulk_rows`` is how many rows of one ``update()``, ``delete()`` or
    ``insert()`` become events of their own.
    """

    def mark(marked: _Model) -> _Model:
        usual = _WORD_BEGINS.sub("_", marked.__name__).lower()
        marks = Marks(resource or usual, tenant, name, frozenset(exclude), bulk_rows)
        setattr(marked, _ATTRIBUTE, marks)
        _marked.add(marked)
        return marked

    return mark if model is None else mark(model)


def marks_of(mapper: Mapper[Any] | None) -> Marks | None:
    """How changes of this model are told; ``None`` if it is not marked."""
    marks = None if mapper is None else getattr(mapper.class_, _ATTRIBUTE, None)
    return marks if isinstance(marks, Marks) else None


def mapper_of_table(table: object) -> Mapper[Any] | None:
    """The marked model whose rows this table holds: of statements that name the table rather than the model."""
    if not isinstance(table, Table):
        return None
    for model in list(_marked):
        mapper = inspect(model, raiseerr=False)
        for known in mapper.self_and_descendants if isinstance(mapper, Mapper) else ():
            if known.local_table is table:
                # Of classes in one table that is the outermost.
                return known
    return None


#: The attributes of a model that are columns, with their column.
Columns = tuple[tuple[str, Column[Any]], ...]

_columns: WeakKeyDictionary[Mapper[Any], Columns] = WeakKeyDictionary()


def columns_of(mapper: Mapper[Any]) -> Columns:
    found = _columns.get(mapper)
    if found is None:
        attributes = ((attribute.key, attribute.columns[0]) for attribute in mapper.column_attrs)
        # Others are expressions, which no statement changes.
        found = tuple((key, column) for key, column in attributes if isinstance(column, Column))
        _columns[mapper] = found
    return found
