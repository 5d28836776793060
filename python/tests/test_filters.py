"""What a filter takes: whatever `record` took is found by it, and what it cannot be found by is an error, not an empty
answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from trailseal import Trail

ID = UUID(int=7)


@dataclass
class User:
    id: int
    name: str


@pytest.mark.parametrize(
    "filters",
    [
        {"actor": 42},
        {"actor": User(42, "Ada")},
        {"actor": {"id": 42, "name": "Ada"}},
        {"actor": [User(42, "Ada"), "other"]},
        {"actor": (number for number in (41, 42))},
        {"on_behalf_of": {"id": ID}},
        {"on_behalf_of": ID},
        {"resource": ("invoice", ID)},
        {"resource": [("invoice", ID), "order/1"]},
        {"resource": {"type": "invoice", "id": ID}},
        {"outcome": True},
        {"outcome": [True, "denied"]},
        {"tenant": {"acme"}},
        {"tenant": None},
    ],
    ids=str,
)
def test_what_was_recorded_is_found_by_the_same_forms(trail: Trail, filters: dict[str, Any]) -> None:
    trail.record("a", actor=User(42, "Ada"), on_behalf_of=ID, resource=("invoice", ID), outcome=True, tenant="acme")
    trail.record("b", actor="41b", resource=("order", 2), outcome=False, tenant="other")
    assert "a" in [event["action"] for event in trail.query(**filters)]
    if filters != {"tenant": None}:
        assert trail.count(**({"actor": "42"} if hasattr(filters.get("actor"), "send") else filters)) == 1


def test_an_object_is_found_as_the_resource_that_it_was(trail: Trail) -> None:
    user = User(42, "Ada")
    trail.record("user.update", resource=user)
    assert trail.count(resource=user) == 1
    assert [event["action"] for event in trail.history(user)] == ["user.update"]


@pytest.mark.parametrize("name", ["tenant", "actor", "resource", "outcome", "action"])
@pytest.mark.parametrize("empty", [[], (), set(), frozenset()], ids=str)
def test_no_value_does_not_mean_everything(trail: Trail, name: str, empty: Any) -> None:
    trail.record("a", tenant="acme")
    with pytest.raises((ValueError, TypeError)):
        trail.count(**{name: empty})


@pytest.mark.parametrize(
    "filters",
    [
        {"tenant": {"id": "acme"}},
        {"tenant": b"acme"},
        {"tenant": object()},
        {"tenant": 1.5},
        {"actor": {"name": "Ada"}},
        {"actor": object()},
        {"resource": {"id": 5}},
        {"action": {"a": 1}},
        {"text": object()},
        {"since": 3600},
        {"until": 1_700_000_000},
        {"since": 1.5},
    ],
    ids=str,
)
def test_what_nothing_is_found_by_is_an_error(trail: Trail, filters: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(filters))} cannot be of type"):
        trail.query(**filters)


def test_a_number_of_events_is_not_negative(trail: Trail) -> None:
    for ask in (lambda: trail.query(limit=-1), lambda: trail.page(limit=-1), lambda: trail.tail(-1)):
        with pytest.raises(ValueError, match="use 0 or more"):
            ask()


def test_a_mode_s_mistake_names_the_keyword(trail: Trail) -> None:
    for mode, rate in (("sampled", None), ("sampled", 2.0), ("sync", 0.5)):
        with pytest.raises(ValueError, match="rate") as raised:
            trail.set_mode(mode, rate=rate)  # type: ignore[arg-type]
        assert "--" not in str(raised.value)
