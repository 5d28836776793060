"""The examples of docs/python.md, as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from trailseal import Trail

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
SECTIONS = (
    "FastAPI and Starlette",
    "Reading, inside your application",
    "Django",
    "Flask",
    "Who acts for whom",
    "SQLAlchemy",
    "Testing",
    "Logs",
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks() -> list[tuple[str, str]]:
    sections = re.split(r"^##+ (.*)$", PAGE.read_text(), flags=re.MULTILINE)
    found = []
    for title, text in zip(sections[1::2], sections[2::2], strict=True):
        if title in SECTIONS:
            found += [(title, block) for block in BLOCK.findall(text)]
    return found


def test_every_section_has_an_example() -> None:
    assert {title for title, _ in blocks()} == set(SECTIONS)


@pytest.mark.parametrize(("title", "block"), blocks())
def test_an_example_runs_as_it_stands(
    title: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "none")
    if "get_asgi_application" in block:
        monkeypatch.setattr("django.setup", lambda set_prefix=True: None)
    known: dict[str, Any] = {"__name__": "example"}
    exec(compile(block, f"{PAGE.name}, {title}", "exec"), known)
    for value in list(known.values()):
        if isinstance(value, Trail):
            value.close()


def test_the_two_lines_record_with_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the second example of FastAPI promises."""
    from fastapi.testclient import TestClient

    monkeypatch.chdir(tmp_path)
    example = next(block for title, block in blocks() if "acting(" in block)
    known: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, PAGE.name, "exec"), known)
    with TestClient(known["app"]) as client:
        assert client.post("/invoices/42/approve").status_code == 200
    with Trail.open("./trail") as trail:
        [event] = trail.query(action="invoice.approve")
        assert event["actor"] == {"id": "u1", "name": "anna@example.com"} and event["tenant"] == "acme"
        assert event["context"]["request_id"] and event["resource"] == {"type": "invoice", "id": "42"}
        [event] = trail.query(action="http.post")
        assert event["outcome"] == "success" and event["actor"]["id"] == "u1"
