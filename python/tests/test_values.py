"""No value is a reason to raise, and what is recorded is what was meant."""

import collections
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import itertools
import math
import pathlib
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from conftest import PATIENCE, one

from trailseal import Trail

ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


class Colour(enum.Enum):
    RED = "red"


class Action(str, enum.Enum):
    CREATE = "create"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Card:
    owner: str
    limit: decimal.Decimal


class Keys:
    def keys(self) -> list[str]:
        return ["a"]

    def __getitem__(self, key: str) -> str:
        return key + "!"


EXACT: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (0, 0),
    (-(2**63), -(2**63)),
    (2**64 - 1, 2**64 - 1),
    (2**64, str(2**64)),
    (-(10**40), str(-(10**40))),
    (1.5, 1.5),
    (1e300, 1e300),
    (1.0, 1.0),
    ("grün \u2028 \x00 \"'\\ \U0001f600", "grün \u2028 \x00 \"'\\ \U0001f600"),
    ([1, [2, (3,)]], [1, [2, [3]]]),
    ({"a": {"b": []}}, {"a": {"b": []}}),
    ({1: "a", None: "b", False: "c", 2.5: "d"}, {"1": "a", "null": "b", "false": "c", "2.5": "d"}),
    ({ID: 1, Colour.RED: 2}, {str(ID): 1, "red": 2}),
    (ID, str(ID)),
    (decimal.Decimal("12.50"), "12.50"),
    (decimal.Decimal("NaN"), "NaN"),
    (fractions.Fraction(1, 3), "1/3"),
    (dt.datetime(2026, 11, 29, 12, 0, 1, 5, dt.UTC), "2026-11-29T12:00:01.000005Z"),
    (dt.datetime(2026, 11, 29, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))), "2026-11-28T23:00:00.000000Z"),
    (dt.datetime(1969, 12, 31, 23, 59, 59, 999999, dt.UTC), "1969-12-31T23:59:59.999999Z"),
    (dt.date(2026, 11, 29), "2026-11-29"),
    (dt.time(12, 30), "12:30:00"),
    (dt.timedelta(minutes=1.5), 90.0),
    (Colour.RED, "red"),
    (Action.CREATE, "create"),
    (Level.HIGH, 3),
    (b"bytes", "bytes"),
    (bytearray(b"x"), "x"),
    (memoryview(b"y"), "y"),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset(), []),
    (Point(1, 2), {"x": 1, "y": 2}),
    (Card("u1", decimal.Decimal("1")), {"owner": "u1", "limit": "1"}),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.deque([1, 2]), [1, 2]),
    (range(3), [0, 1, 2]),
    ({"a": 1}.values(), [1]),
    (ipaddress.ip_address("::1"), "::1"),
    (Keys(), {"a": "a!"}),
    (ValueError("no"), "ValueError: no"),
]


@pytest.mark.parametrize(("given", "expected"), EXACT, ids=lambda value: type(value).__name__)
def test_exact(trail: Trail, given: Any, expected: Any) -> None:
    trail.record("value", details={"value": given})
    event = one(trail)
    assert event.get("details", {}).get("value") == expected, event
    assert "_converted" not in event
    assert type(event["details"]["value"]) is type(expected)


class Breaks:
    def __repr__(self) -> str:
        raise ValueError("no repr")

    __str__ = __repr__


class BreaksAll(Breaks):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no attributes")


class Odd:
    def __repr__(self) -> str:
        return "Odd(" + "x" * 100_000 + ")"


class BadEnum(enum.Enum):
    A = object()


def cyclic_list() -> list[Any]:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    cycle.append(cycle)
    return cycle


def cyclic_dict() -> dict[str, Any]:
    cycle: dict[str, Any] = {"name": "x"}
    cycle["self"] = {"again": cycle}
    return cycle


@dataclasses.dataclass(eq=False)
class Node:
    next: Any = None


def cyclic_node() -> Node:
    node = Node()
    node.next = [node]
    return node


def deep(levels: int) -> list[Any]:
    deep: list[Any] = []
    for _ in range(levels):
        deep = [deep]
    return deep


def bushy() -> list[Any]:
    bush: list[Any] = [1]
    for _ in range(40):
        bush = [bush, bush]
    return bush


class GrowsWhileWalked:
    def __init__(self) -> None:
        self.within: dict[Any, Any] = {"self": self}

    def __repr__(self) -> str:
        for number in range(100):
            self.within[len(self.within) + number] = GrowsWhileWalked()
        return "grown"


class Clears:
    within: list[Any]

    def __repr__(self) -> str:
        self.within.clear()
        return "cleared"


def clearing() -> list[Any]:
    clears = Clears()
    clears.within = [clears, "a" * 100, ["b" * 100], {"c": "d"}]
    return clears.within


class KeyWithoutText:
    def __repr__(self) -> str:
        raise ValueError

    def __hash__(self) -> int:
        return 1


HOSTILE: dict[str, tuple[Any, str]] = {
    "no repr": (Breaks(), "error"),
    # Made by its test: whoever looks at every object there is would trip over one that stays.
    "no attributes": (BreaksAll, "error"),
    "long repr": (Odd(), "repr"),
    "object": (object(), "repr"),
    "enum of object": (BadEnum.A, "repr"),
    "cycle of lists": (cyclic_list(), "cycle"),
    "cycle of dicts": (cyclic_dict(), "cycle"),
    "cycle of dataclasses": (cyclic_node(), "cycle"),
    "depth": (deep(10_000), "depth"),
    "bush": (bushy(), "cut"),
    "growing": (GrowsWhileWalked().within, "repr"),
    "clearing": (clearing(), "repr"),
    "many digits": (7**20_000, "cut"),
    "no text": (b"\xff\xfe", "bytes"),
    "naive": (dt.datetime(2026, 1, 1), "naive"),
    "key without text": ({KeyWithoutText(): 1}, "error"),
    "generator": ((number for number in range(3)), "repr"),
    "class": (int, "repr"),
    "function": (deep, "repr"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(trail: Trail, name: str) -> None:
    value, note = HOSTILE[name]
    value = value() if value is BreaksAll else value
    trail.record("value", details={"here": [value], "after": 1}, before=value)
    event = one(trail)
    assert note in event["_converted"].values(), event
    assert event["action"] == "value" and ("here" in event["details"] or "truncated" in event)
    assert trail.verify()["ok"]


def test_what_json_has_not_is_kept_as_text(trail: Trail) -> None:
    trail.record("value", details={"nan": math.nan, "inf": -math.inf, "half": "a\ud800b", "\udfff": 1})
    details = one(trail)["details"]
    assert (details["nan"], details["inf"]) == ("NaN", "-inf")
    assert "a" in details["half"] and "b" in details["half"]


def test_ten_megabytes_are_shortened_and_named(trail: Trail) -> None:
    trail.record("value", details={"big": "x" * 10_000_000, "small": 1})
    event = one(trail)
    assert event["details"]["small"] == 1
    assert len(event["details"]["big"]) < 70_000
    assert "details.big" in str(event["truncated"])


def test_interrupts_are_not_swallowed_and_the_event_is_recorded(trail: Trail) -> None:
    class Interrupted:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trail.record("value", details={"it": Interrupted()})
    assert one(trail)["action"] == "value"


def test_secrets_are_masked_wherever_they_are(trail: Trail) -> None:
    trail.record(
        "user.change",
        details={"user": {"password": "hunter2"}, "keys": [{"api_key": b"k-1234"}]},
        before={"token": "t0k3n"},
        error=ValueError("refused: password=hunter2"),
    )
    text = str(one(trail))
    for secret in ("hunter2", "k-1234", "t0k3n"):
        assert secret not in text, text


def test_pydantic_and_sqlalchemy(trail: Trail) -> None:
    import pydantic

    class User(pydantic.BaseModel):
        id: uuid.UUID
        key: pydantic.SecretStr
        hidden: str = pydantic.Field(default="h", exclude=True)

    trail.record("pydantic", details={"user": User(id=ID, key=pydantic.SecretStr("s3cret"))})
    event = one(trail)
    assert event["details"]["user"]["id"] == str(ID)
    assert "s3cret" not in str(event) and "hidden" not in str(event)

    import sqlalchemy
    from sqlalchemy import orm

    class Base(orm.DeclarativeBase):
        pass

    class Invoice(Base):
        __tablename__ = "invoice"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        name: orm.Mapped[str]

    engine = sqlalchemy.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add(Invoice(id=42, name="n"))
        session.flush()
        row = session.execute(sqlalchemy.select(Invoice.id, Invoice.name)).one()
        invoice = session.get_one(Invoice, 42)
        trail.record("row", details={"row": row}, before=invoice, resource=invoice)
    event = one(trail)
    assert event["details"]["row"] == {"id": 42, "name": "n"} == event["before"]
    assert event["resource"] == {"type": "invoice", "id": "42", "name": "n"}


def test_heads(trail: Trail) -> None:
    trail.record(
        Action.CREATE,
        actor={"id": 42, "type": "user", "roles": ["admin"], "team": {"n": 1}},
        tenant=ID,
        resource=("invoice", 7),
        related=["order/1", {"type": "x", "id": 2}],
        outcome=False,
        severity="warning",
        category="admin",
        description="d",
        duration_ms=dt.timedelta(milliseconds=1.5),
        on_behalf_of="u9",
        id=ID,
        time=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        approval=[1],
        changes={"a": {"before": 1, "after": 2}},
        extra={"own": {"n": 1}},
        context={"ip": ipaddress.ip_address("192.0.2.1"), "request_id": 5},
    )
    event = one(trail)
    assert event["action"] == "create" and event["id"] == str(ID) == event["tenant"]
    assert event["actor"] == {"id": "42", "type": "user", "roles": ["admin"], "team": {"n": 1}}
    assert event["resource"] == {"type": "invoice", "id": "7"}
    assert event["related"] == [{"type": "order", "id": "1"}, {"type": "x", "id": "2"}]
    assert event["outcome"] == "failure" and event["duration_ms"] == 1.5
    assert event["time"].startswith("2026-01-01T00:00:00")
    assert event["context"] == {"ip": "192.0.2.1", "request_id": "5"}
    assert event["own"] == {"n": 1} and event["approval"] == [1] and event["on_behalf_of"] == {"id": "u9"}
    assert "invalid" not in event and "_converted" not in event


def test_wrong_fields_are_kept_and_named(trail: Trail) -> None:
    wrong: Any = {"details": ["no", "mapping"], "actor": 3.5}
    trail.record("a", outcome="splendid", time="yesterday", resource="x", **wrong)
    event = one(trail)
    assert event["outcome"] == "unknown"
    assert {"outcome", "details", "time"} <= set(event["invalid"])
    invalid = event["details"]["_invalid"]
    assert invalid["outcome"] == "splendid" and invalid["time"] == "yesterday"


def test_an_error_is_a_failure_unless_said_otherwise(trail: Trail) -> None:
    trail.record("a", error=RuntimeError("boom"))
    assert (one(trail)["outcome"], one(trail)["error"]) == ("failure", "RuntimeError: boom")
    trail.record("a", error="late", outcome="partial")
    assert one(trail)["outcome"] == "partial"


def test_a_value_cannot_become_a_field(trail: Trail) -> None:
    trail.record('a","tenant":"x', details={'k":1},"tenant":"y': 'v"},"tenant":"z'})
    event = one(trail)
    assert "tenant" not in event and event["action"] == 'a","tenant":"x'


def test_wrong_calls_raise(trail: Trail) -> None:
    from trailseal import RefusedError

    with pytest.raises(TypeError):
        trail.record("a", detials={})  # type: ignore[call-arg]
    with pytest.raises(RefusedError):
        trail.record("")
    with pytest.raises(RefusedError):
        trail.record(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        trail.record("a", ack="soon")  # type: ignore[arg-type]


class Name(enum.Enum):
    SECRET = "session_token"


@pytest.mark.parametrize("members", [49_990, 49_998, 49_999, 50_000, 60_000])
def test_a_large_field_takes_no_mask_from_others(trail: Trail, members: int) -> None:
    secret = {"session_token": "s3cr3t"}
    trail.record("flat", details={"ids": list(range(60_000))}, context={**secret, "ip": "10.0.0.1"})
    assert one(trail)["context"]["ip"] == "10.0.0.1"
    # At the edge of the budget, of keys that are no text.
    fields: list[Any] = [
        {"ids": list(range(members)), Name.SECRET: "s3cr3t", 1: {Name.SECRET: "s3cr3t"}},
        [[[]] * members, {Name.SECRET: "s3cr3t"}],
        {1: list(range(members)), Name.SECRET: "s3cr3t", 2: {}},
    ]
    for field in fields:
        trail.record("details", details=field)
        trail.record("before", before=field)
        trail.record("context", context=field)
    assert trail.seal(PATIENCE)
    files = []
    for path in pathlib.Path(trail.dir).rglob("*"):
        # Some are only there until they get their name.
        with contextlib.suppress(FileNotFoundError):
            files += [path.read_bytes()] if path.is_file() else []
    assert files
    assert not any(b"s3cr3t" in text for text in files)


def test_an_extra_field_overrides_no_other(trail: Trail) -> None:
    own: dict[Any, Any] = {"own": 1, 7: "first", "7": "second"}
    forged = {
        "action": "forged",
        "tenant": "forged",
        "id": "forged",
        "actor": {"id": "forged"},
        "time": "2001-01-01T00:00:00Z",
    }
    trail.record("a", tenant="acme", extra={**forged, **own})
    event = one(trail)
    assert (event["action"], event["tenant"], "actor" in event) == ("a", "acme", False)
    assert event["id"] != "forged"
    assert not event["time"].startswith("2001")
    assert {name: event[f"extra.{name}"] for name in forged} == forged
    assert (event["own"], event["7"], event["extra.7"]) == (1, "first", "second")


def test_deep_values_of_every_kind_do_not_use_up_the_stack(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run("""
        import datetime, enum
        class Endless(datetime.date):
            def isoformat(self):
                return Endless(2000, 1, 1)
        class Mine(enum.Enum):
            A = 1
        class Of(enum.Enum):
            B = 1
        Mine.A._value_, Of.B._value_ = Of.B, Mine.A
        deep, mapped = frozenset(), frozenset()
        for _ in range(100_000):
            deep = frozenset([deep])
        class Key(dict):
            __hash__ = object.__hash__
        keys = Key()
        for _ in range(10_000):
            keys = Key({keys: 1})
        trail = Trail.temporary()
        for value in (deep, Endless(2000, 1, 1), Mine.A, keys):
            trail.record("deep", details={"value": value, "after": 7}, tenant=value if value is Mine.A else None)
        trail.seal()
        assert [event["details"]["after"] for event in trail.query(action="deep")] == [7] * 4
        trail.close()
        print("done")
        sys.stdout.flush()
        # Python's own end of such values is not what is tested.
        os._exit(0)
    """)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


class Raising:
    def __iter__(self) -> Iterator[str]:
        yield "invoice/1"
        raise RuntimeError("no more")


def test_related_may_be_endless_or_raise(trail: Trail) -> None:
    trail.record("a", related=(f"invoice/{number}" for number in itertools.count()))
    event = one(trail)
    assert [resource["id"] for resource in event["related"][:3]] == ["0", "1", "2"]
    assert event["_converted"]["related"] == "cut"
    trail.record("b", related=Raising())
    event = one(trail)
    assert [resource["id"] for resource in event["related"]] == ["1"]
    assert event["_converted"]["related"] == "error"
    other: Any = Other()
    trail.record("c", related=other)
    assert one(trail)["action"] == "c"
    trail.record("d", related=[])
    assert not one(trail).get("related")


class Other:
    pass


@pytest.mark.parametrize("name", ["str", "int", "dict"])
def test_a_class_with_the_name_of_a_built_in_type_is_not_taken_for_it(trail: Trail, name: str) -> None:
    value = type(name, (), {"__module__": "builtins", "__repr__": lambda self: "mine"})()
    trail.record("a", details={"value": value, "after": 7}, tenant=value, resource=value, actor=value)
    assert (one(trail)["details"]["value"], one(trail)["details"]["after"]) == ("mine", 7)


def test_a_key_without_utf_8_may_drop_its_own_members(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run("""
        import gc
        trail = Trail.temporary()
        class Clearing:
            def __init__(self, members):
                self.members, self.own = members, self
            def __del__(self):
                self.members.clear()
        gc.set_threshold(1, 1, 1)
        for number in range(200):
            members = {}
            for place in range(20):
                members[f"{number} {place} \\ud800"] = [object() for _ in range(3)]
            Clearing(members)
            trail.record("a", details=members)
        print("done")
    """)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
