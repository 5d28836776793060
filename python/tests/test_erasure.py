"""A person is erased: before, only who asks for it sees their values; after, nobody does."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from trailseal import Trail, TrailsealError

PLAIN = "Zq7Rhubarb"
PERSONAL = [{"fields": ["actor.name", "details.mail"], "subject": "actor.id"}]


def fill(trail: Trail) -> None:
    for number, who in enumerate(["u-ann", "u-bob"]):
        trail.record(
            "user.login",
            id=f"e{number}",
            actor={"id": who, "name": f"{PLAIN} {who}"},
            resource="user/7",
            details={"mail": {"to": f"{PLAIN}-{who}", "n": 1.5}},
        )


def test_values_are_shown_to_who_asks_and_erased_for_everybody(tmp_path: Path) -> None:
    with Trail.open(tmp_path / "trail", personal=PERSONAL, environment=False) as trail:
        fill(trail)
        reads: list[Callable[..., Any]] = [
            lambda **more: list(trail.query(**more)),
            lambda **more: trail.page(**more).events,
            lambda **more: [trail.get("e0", **more), trail.get("e1", **more)],
            lambda **more: list(trail.history("user/7", **more)),
            lambda **more: list(trail.tail(**more)),
            lambda **more: list(trail.export(**more)),
        ]
        for read in reads:
            assert PLAIN not in json.dumps(read()) and "erasable" in json.dumps(read())
            assert f"{PLAIN} u-ann" in json.dumps(read(personal=True))
        found = trail.get("e0", personal=True)
        assert found is not None and found["details"]["mail"] == {"to": f"{PLAIN}-u-ann", "n": 1.5}
        assert PLAIN not in json.dumps(trail.summary())
        formats: list[Literal["jsonl", "csv"]] = ["jsonl", "csv"]
        for format in formats:
            trail.export_to(tmp_path / "out", format=format)
            assert PLAIN not in (tmp_path / "out").read_text()
            trail.export_to(tmp_path / "out", format=format, personal=True)
            assert PLAIN in (tmp_path / "out").read_text()

        would = trail.erase("u-ann", dry_run=True)
        assert {field["field"] for field in would["fields"]} == {"actor.name", "details.mail"}
        assert f"{PLAIN} u-ann" in json.dumps(list(trail.query(personal=True)))
        erased = trail.erase("u-ann")
        assert erased["keys"] == would["keys"] and erased["already"] is None
        for read in reads:
            shown = json.dumps(read(personal=True))
            assert f"{PLAIN} u-ann" not in shown and f"{PLAIN} u-bob" in shown and '"erased"' in shown
        assert trail.erase("u-ann")["already"]["index"] == erased["erased_by"][0]
        with pytest.raises(TrailsealError):
            trail.erase("u-nobody")
        assert trail.verify()["ok"]
        told = [event["details"] for event in trail.query(system=True, action="trail.read")]
        assert any(details["query"].get("personal") == ["true"] for details in told if "query" in details)


def test_the_rules_go_with_the_trail_to_another_process(tmp_path: Path) -> None:
    with Trail.open(tmp_path / "trail", personal=PERSONAL, environment=False) as trail:
        assert pickle.loads(pickle.dumps(trail)) is not None
        assert "[[personal]]" in trail.policy()
