"""For tests: was it recorded?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any
from uuid import UUID

from . import EventDict, Trail

__all__ = ["assert_audited", "assert_not_audited"]

# So many events are told of when none matches.
_TOLD_MAX = 8


def assert_audited(trail: Trail, /, **wanted: Any) -> EventDict:
    """Asserts that an event was recorded, and gives the newest that matches.

    ``action`` may be a glob, ``actor`` is an id or name, ``resource`` a ``"TYPE/ID"``. Anything else is a field,
    with
    ``__`` for the dot: ``context__ip="203.0.113.7"``, ``details__amount=7``. ``None`` is a field that is not
    there. If there
    is no such event, it says what differs in the nearest::

        no event has action = "invoice.approve", resource = "invoice/42"
        the nearest of 2 events:
          #2 invoice.approve: resource is "invoice/41"
          #1 invoice.read: action is "invoice.read", resource is "invoice/7"
    """
    __tracebackhide__ = True
    events = _all(trail)
    fields = _fields(wanted)
    # The newest of those that are alike comes first.
    judged = sorted(((event, _differences(event, fields)) for event in events), key=lambda pair: len(pair[1]))
    if judged and not judged[0][1]:
        return judged[0][0]
    raise AssertionError(_told(judged, fields))


def assert_not_audited(trail: Trail, /, **wanted: Any) -> None:
    """Asserts that no such event was recorded."""
    __tracebackhide__ = True
    fields = _fields(wanted)
    for event in _all(trail):
        if not _differences(event, fields):
            line = json.dumps(event, ensure_ascii=False, indent=2)
            raise AssertionError(f"an event has {_text_of(fields)}:\n{line}")


def _all(trail: Trail) -> list[EventDict]:
    return list(trail.query(order_by="recorded"))


def _fields(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): _plain(value) for name, value in wanted.items()}


def _plain(value: Any) -> Any:
    """A value as a test has it, in the form that a line has it."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, tuple) and len(value) == 2:
        return f"{value[0]}/{_plain(value[1])}"
    return value


def _differences(event: EventDict, fields: Mapping[str, Any]) -> list[str]:
    found = {name: _field(event, name) for name in fields}
    return [
        f"{name} is {_json(found[name])}"
        for name, wanted in fields.items()
        if not _is_same(event, name, wanted, found[name])
    ]


def _is_same(event: EventDict, name: str, wanted: Any, found: Any) -> bool:
    if name == "action" and isinstance(wanted, str) and isinstance(found, str):
        return _glob(wanted).fullmatch(found) is not None
    if name == "actor" and isinstance(wanted, str | int):
        return str(wanted) in (found, _at(event, "actor.name"))
    return bool(found == wanted)


def _field(event: EventDict, name: str) -> Any:
    if name == "actor":
        id = _at(event, "actor.id")
        return _at(event, "actor.name") if id is None else id
    if name == "resource":
        resource = event.get("resource")
        if not isinstance(resource, Mapping):
            return resource
        kind, id = resource.get("type", ""), resource.get("id")
        return kind if id is None else f"{kind}/{id}"
    return _at(event, name)


def _at(event: Mapping[str, Any], path: str) -> Any:
    value: Any = event
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _glob(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(letter) or re.escape(letter) for letter in pattern), re.DOTALL)


def _told(judged: list[tuple[EventDict, list[str]]], fields: Mapping[str, Any]) -> str:
    told = [f"no event has {_text_of(fields)}"]
    if not judged:
        return "\n".join([*told, "nothing was recorded"])
    told.append(f"the nearest of {len(judged)} events:")
    for event, differences in judged[:_TOLD_MAX]:
        told.append(f"  #{event.get('index')} {event.get('action')}: {', '.join(differences)}")
    return "\n".join(told)


def _text_of(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_json(value)}" for name, value in fields.items()) or "anything"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)
