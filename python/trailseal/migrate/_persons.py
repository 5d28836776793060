"""Who did something, and in whose name; and the search by user that follows from it.

The systems that come here have a user and, sometimes, an operator who acted as that user. In a trail the actor
is who really did it, and `on_behalf_of` is the user. Whoever searches by user means both.
"""

from __future__ import annotations

import base64
import heapq
import json
from collections.abc import Iterator, Mapping
from typing import Any

from trailseal import Page, ReadError, Trail

from ._home import filled, text

#: How many events a stream reads at a time.
READ = 200


def who(user: Any, operator: Any = None, reason: str | None = None) -> dict[str, Any]:
    """The fields `actor` and `on_behalf_of` of an event."""
    user, operator = text(user), text(operator)
    if operator is None:
        return filled({"actor": user})
    behalf = filled({"id": user, "reason": reason})
    return filled({"actor": operator, "on_behalf_of": behalf or None})


def user_and_operator(event: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The user of an event, and the operator if there was one."""
    actor = (event.get("actor") or {}).get("id")
    behalf = event.get("on_behalf_of")
    return (actor, None) if behalf is None else (behalf.get("id"), actor)


class Stream:
    """Events of one search from a cursor on, that knows the cursor behind each event that was taken.

    A cursor is `""` at the beginning and `None` at the end.
    """

    def __init__(self, trail: Trail, filters: Mapping[str, Any], start: str | None, *, is_own: bool) -> None:
        self._trail = trail
        self._filters = filters
        self._is_own = is_own
        self._start = start
        self._events: list[dict[str, Any]] = []
        self._at = 0
        self._after = start

    def peek(self) -> dict[str, Any] | None:
        """The next event; `None` at the end."""
        while True:
            if self._at == len(self._events):
                if self._after is None:
                    return None
                self._start = self._after
                one = self._page(READ)
                self._events, self._after, self._at = one.events, one.next, 0
                continue
            event = self._events[self._at]
            # What the user did in another one's name is that one's.
            if not self._is_own or event.get("on_behalf_of") is None:
                return event
            self._at += 1

    def take(self) -> None:
        """The event of `peek` is used."""
        self._at += 1

    def cursor(self) -> str | None:
        """Where to go on."""
        if self.peek() is None:
            return None
        return self._start if self._at == 0 else self._page(self._at).next

    def _page(self, limit: int) -> Page:
        return self._trail.page(limit=limit, cursor=self._start or None, **self._filters)


def page(
    trail: Trail, user: Any, limit: int, cursor: str | None = None, **filters: Any
) -> tuple[list[dict[str, Any]], str | None]:
    """One page, the newest first, and the cursor of the next one. Raises `ValueError` for a cursor that is
    none."""
    given = filled(filters)
    cursor = cursor or None
    try:
        if user is None:
            one = trail.page(limit=limit, cursor=cursor, **given)
            return one.events, one.next
        streams = opened(trail, str(text(user)), given, cursor)
        found: list[dict[str, Any]] = []
        while len(found) < limit:
            ahead = [(event, stream) for stream in streams if (event := stream.peek()) is not None]
            if not ahead:
                return found, None
            event, stream = max(ahead, key=lambda pair: place(pair[0]))
            stream.take()
            found.append(event)
        after = [stream.cursor() for stream in streams]
        return found, None if after == [None, None] else encode(after)
    except (ReadError, UnicodeError, TypeError) as error:
        if cursor is None:
            raise
        raise ValueError(f"the cursor is not one of this list: {error}") from error


def opened(trail: Trail, user: str, filters: dict[str, Any], cursor: str | None) -> list[Stream]:
    on_behalf, own = decode(cursor)
    return [
        Stream(trail, filters | {"on_behalf_of": user}, on_behalf, is_own=False),
        Stream(trail, filters | {"actor": user}, own, is_own=True),
    ]


def encode(cursors: list[str | None]) -> str:
    return base64.urlsafe_b64encode(json.dumps(cursors).encode()).decode()


def decode(cursor: str | None) -> tuple[str | None, str | None]:
    if cursor is None:
        return "", ""
    try:
        on_behalf, own = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, TypeError) as error:
        raise ValueError("the cursor is not one of this list") from error
    return on_behalf, own


def place(event: Mapping[str, Any]) -> tuple[str, str, str, int]:
    """Where an event stands in the order by time; no time counts as later than the recording."""
    time, recorded = str(event["time"]), str(event["recorded"])
    return min(time, recorded), recorded, str(event.get("origin")), int(event["index"])


def every(trail: Trail, user: Any, **filters: Any) -> Iterator[dict[str, Any]]:
    """All events, the newest first."""
    given = filled(filters)
    if user is None:
        return iter(trail.query(**given))
    id = str(text(user))
    own = (event for event in trail.query(**given, actor=id) if event.get("on_behalf_of") is None)
    return heapq.merge(trail.query(**given, on_behalf_of=id), own, key=place, reverse=True)


def count(trail: Trail, user: Any, **filters: Any) -> int:
    """How many events there are, exactly. By user it reads that user's events: what the index counts is not
    enough."""
    given = filled(filters)
    if user is None:
        return trail.count(**given)
    id = str(text(user))
    own = sum(event.get("on_behalf_of") is None for event in trail.query(**given, actor=id))
    return own + trail.count(**given, on_behalf_of=id)
