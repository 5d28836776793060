"""What a filter takes: whatever `record` took is found by it, and what it cannot be found by is an error, not an empty
answer."""

from __future__ import annotations

import datetime as dt
from collections import UserString
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
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


class Ref(NamedTuple):
    kind: str
    key: int


class Ulid:
    """As ids of libraries are: neither a text nor known by the package."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Ulid({self.text})"


@pytest.mark.parametrize(
    "fields",
    [
        {"resource": Ref("invoice", 7)},
        {"resource": ("invoice", Ulid("01HX"))},
        {"actor": Ulid("01HX")},
        {"actor": {"id": Ulid("01HX")}},
        {"on_behalf_of": Ulid("01HX")},
        {"tenant": Ulid("01HX")},
        {"tenant": 1.5},
        {"tenant": dt.date(2026, 3, 1)},
    ],
    ids=str,
)
def test_what_record_took_is_found_by_it(trail: Trail, fields: dict[str, Any]) -> None:
    trail.record("found", **fields)
    trail.record("other", actor="u1", tenant="acme", resource="invoice/8")
    assert [event["action"] for event in trail.query(**fields)] == ["found"]
    [(name, value)] = fields.items()
    assert trail.count(**{name: [value, "none"]}) == 1


@pytest.mark.parametrize(
    "value",
    [2.5, dt.date(2026, 3, 1), dt.datetime(2026, 3, 1, 4, 5, tzinfo=dt.UTC), dt.timedelta(minutes=3), ID],
    ids=str,
)
def test_values_are_found_as_text(trail: Trail, value: Any) -> None:
    trail.record("found", details={"value": value})
    trail.record("other", details={"value": "else"})
    assert [event["action"] for event in trail.query(text=value)] == ["found"]


def test_a_text_of_another_class_is_not_taken_apart(trail: Trail) -> None:
    lazy = pytest.importorskip("django.utils.functional")
    of_letters: list[Any] = [
        lazy.lazystr("acme"),
        lazy.SimpleLazyObject(lambda: "acme"),
        lazy.SimpleLazyObject(lambda: Ulid("acme")),
        UserString("acme"),
    ]
    for name in ("tenant", "actor", "on_behalf_of"):
        letter: dict[str, Any] = {name: "a"}
        trail.record("letter", **letter)
        whole: dict[str, Any] = {name: "acme"}
        trail.record("whole", **whole)
        for text in of_letters if name == "tenant" else of_letters[:2]:
            for wanted in (text, [text]):
                found: dict[str, Any] = {name: wanted}
                assert [event["action"] for event in trail.query(**found)] == ["whole"], (name, type(text))
    trail.record("recorded.lazily", actor=lazy.lazystr("ben"))
    assert trail.count(actor="ben") == 1


def test_any_collection_is_several_values(trail: Trail) -> None:
    class Ids:
        """As a QuerySet of Django is: of no class of collections."""

        def __iter__(self) -> Iterator[str]:
            return iter(("acme", "other"))

        def __len__(self) -> int:
            return 2

        def __str__(self) -> str:
            return "<Ids>"

    for tenant in ("acme", "other", "third"):
        trail.record("a", tenant=tenant)
    several: list[Any] = [Ids(), {"acme": 1, "other": 2}.keys(), map(str, ("acme", "other")), frozenset(("acme", "other"))]
    for tenants in several:
        assert trail.count(tenant=tenants) == 2, tenants


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
        {"actor": 1.5},
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
