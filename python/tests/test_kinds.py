"""What is remembered of classes: it keeps none alive, and is never taken for another's."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from trailseal import Trail
from trailseal._trailseal import to_json


def test_classes_that_are_made_while_it_runs_are_let_go(trail: Trail) -> None:
    alive = []
    for number in range(1_000):
        made: Any = type(f"Made{number}", (), {"__repr__": lambda self: "made"})
        trail.record("a", details={"value": made()})
        alive.append(weakref.ref(made))
        del made
    gc.collect()
    assert sum(one() is not None for one in alive) == 0


def test_a_class_at_the_address_of_another_is_not_taken_for_it() -> None:
    """Made and let go in turn, they get each other's addresses."""
    addresses: dict[int, set[str]] = {}
    for number in range(2_000):
        kind = ("enum", "plain", "set", "text")[number % 4]
        made: Any
        if kind == "enum":
            made = type("Made", (), {"__module__": "enum", "__qualname__": "Enum", "_value_": "of an enum"})
            value, expected = made(), '"of an enum"'
        elif kind == "set":
            made = type("Made", (set,), {})
            value, expected = made([1]), "[1]"
        elif kind == "text":
            made = type("Made", (str,), {})
            value, expected = made("text"), '"text"'
        else:
            made = type("Made", (), {"__repr__": lambda self: "plain"})
            value, expected = made(), '"plain"'
        assert to_json(value) == expected
        addresses.setdefault(id(made), set()).add(kind)
        del made, value
        gc.collect(0)
    assert any(len(kinds) > 1 for kinds in addresses.values()), "no address came twice, so nothing was tried"
