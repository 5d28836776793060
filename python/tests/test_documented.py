"""The examples of README and guide that need a framework, as they stand."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import FRAMEWORKS

from trailseal import Trail

PYTHON = Path(__file__).resolve().parents[1]
PAGES = [PYTHON / "README.md", PYTHON.parent / "docs" / "python.md"]
BLOCKS = [
    block
    for page in PAGES
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    if FRAMEWORKS.search(block)
]


def run(block: str) -> dict[str, Any]:
    # Its annotations are looked up in its module.
    module = sys.modules["example"] = ModuleType("example")
    exec(compile(block, "an example", "exec"), module.__dict__)
    return module.__dict__


@pytest.mark.parametrize("place", range(len(BLOCKS)))
def test_an_example_runs_as_it_stands(place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # The example is about what goes around Django, which is not set up here.
    monkeypatch.setattr("django.core.asgi.get_asgi_application", object)
    for value in run(BLOCKS[place]).values():
        if isinstance(value, Trail):
            value.close()


@pytest.mark.parametrize("name", ["fastapi", "django", "flask", "sqlalchemy", "pytest"])
def test_every_framework_has_an_example(name: str) -> None:
    assert any(name in block for block in BLOCKS)


def test_the_example_of_fastapi_records_who_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    monkeypatch.chdir(tmp_path)
    known = run(next(block for block in BLOCKS if "acting(" in block))
    with TestClient(known["app"]) as client:
        assert client.post("/invoices/42/approve").status_code == 200
    with Trail.open("./trail") as trail:
        [event] = trail.query(action="invoice.approve")
        assert event["actor"] == {"id": "u1", "name": "anna@example.com"} and event["tenant"] == "acme"
        assert event["context"]["request_id"] and event["resource"] == {"type": "invoice", "id": "42"}
        [event] = trail.query(action="http.post")
        assert event["outcome"] == "success" and event["actor"]["id"] == "u1"
