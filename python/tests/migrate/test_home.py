"""Where a migration module's events go: one trail, opened once, also while it is being closed."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE

from trailseal import ClosedError, Trail
from trailseal.migrate._home import Home


def opened(folder: str) -> Trail:
    return Trail.open(folder, environment=False, workers="slots", handoff_size="4MiB")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TRAILSEAL_DIR", str(tmp_path / "own"))
    return Home(opened)


@pytest.mark.parametrize("closings", [1, 3])
def test_what_finds_the_trail_closed_under_its_hands_is_done_again(home: Home, closings: int) -> None:
    def act(trail: Trail) -> Any:
        tries.append(trail)
        if len(tries) <= closings:
            home.leave(PATIENCE)
        return trail.record("a")

    async def act_async(trail: Trail) -> Any:
        return act(trail)

    tries: list[Trail] = []
    for is_async in (False, True):
        tries.clear()
        receipt = asyncio.run(home.using_async(act_async)) if is_async else home.using(act)
        assert receipt.index is not None
        assert len(tries) == closings + 1 and all(trail.is_closed for trail in tries[:-1])
    assert home.trail().count(action="a") == 2
    home.leave(PATIENCE)


def test_a_trail_that_its_owner_closed_is_not_opened_again(home: Home, tmp_path: Path) -> None:
    given = Trail.temporary()
    home.use(given)
    given.close()
    with pytest.raises(ClosedError):
        home.using(lambda trail: trail.record("a"))
    with pytest.raises(ClosedError):
        asyncio.run(home.using_async(lambda trail: trail.record_async("a")))
    assert not (tmp_path / "own").exists()


def test_it_is_opened_once(home: Home) -> None:
    found: list[Trail] = []
    threads = [threading.Thread(target=lambda: found.append(home.trail())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(trail) for trail in found}) == 1
    own = home.trail()
    home.use(Trail.temporary())
    assert own.is_closed
    assert home.leave(PATIENCE) == 0
    assert not home.trail().is_closed


def test_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[str] = []

    def note(folder: str) -> Any:
        folders.append(folder)
        return Trail.temporary()

    monkeypatch.delenv("TRAILSEAL_DIR", raising=False)
    monkeypatch.delenv("AUDIT_LOG_PATH", raising=False)
    Home(note).trail()
    monkeypatch.setenv("AUDIT_LOG_PATH", "/var/log/audit")
    Home(note).trail()
    monkeypatch.setenv("TRAILSEAL_DIR", "/var/lib/trail")
    Home(note).trail()
    assert folders == ["trail", "/var/log/audit", "/var/lib/trail"]
