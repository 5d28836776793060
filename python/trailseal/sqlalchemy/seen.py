"""Which connections execute statements whose rows are told of already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

# How many of the hooks that see a statement are at work above it.
_depth: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()


def is_seen(connection: Connection) -> bool:
    return _depth.get(connection, 0) > 0


def begin_seen(connection: Connection) -> None:
    _depth[connection] = _depth.get(connection, 0) + 1


def end_seen(connection: Connection) -> None:
    _depth[connection] = _depth.get(connection, 1) - 1


@contextmanager
def seen(connection: Connection) -> Iterator[None]:
    begin_seen(connection)
    try:
        yield
    finally:
        end_seen(connection)
