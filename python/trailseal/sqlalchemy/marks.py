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

    @property
    def named(self) -> set[str]:
        """The attributes by which an event is told, whether they changed or not."""
        return {name for name in (self.tenant, self.name) if name is not None}


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
    if mapper is None or not isinstance(marks, Marks):
        return None
    if mapper not in _checked:
        _check(mapper, marks)
        _checked.add(mapper)
    return marks


_checked: WeakSet[Mapper[Any]] = WeakSet()


def _check(mapper: Mapper[Any], marks: Marks) -> None:
    """A mistyped name would leave the tenant out, or a secret in: neither would be noticed."""
    holder = next(one for one in mapper.class_.__mro__ if _ATTRIBUTE in vars(one))
    marked: Any = inspect(holder, raiseerr=False)
    if not isinstance(marked, Mapper):
        # A mixin or an abstract base: not every model that has its marks needs to have each attribute.
        return
    family = [*marked.iterate_to_root(), *marked.self_and_descendants]
    columns = {key for one in family for key, _ in columns_of(one)}
    # A name may be computed, by `column_property`. A tenant may not: a new object would not have it yet.
    computed = {attribute.key for one in family for attribute in one.column_attrs}
    for keyword, name, known in (("tenant", marks.tenant, columns), ("name", marks.name, columns | computed)):
        if name is not None and name not in known:
            raise TypeError(f"@audited({keyword}={name!r}): {holder.__name__} has no such column attribute")
    if marked.polymorphic_on is not None:
        # It may be an attribute of a subclass whose module is not imported yet.
        return
    unknown = marks.exclude - columns - {attribute.key for one in family for attribute in one.attrs}
    if unknown:
        raise TypeError(f"@audited(exclude={sorted(unknown)}): {holder.__name__} has no such attributes")


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
