"""What the tests share. They run on the installed wheel."""

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import trailseal
from trailseal import Trail

# For what must come. Nothing waits so long unless the machine is busy.
PATIENCE = 180.0

#: Settings of a trail whose disk may be slow: on a busy machine it takes seconds what it takes milliseconds elsewhere.
PATIENT: dict[str, Any] = {"timeout_ms": 180_000, "handoff_timeout_ms": 180_000}

#: The same for a trail that reads its settings from the environment.
PATIENT_ENVIRONMENT = {"TRAILSEAL_TIMEOUT_MS": "180000", "TRAILSEAL_HANDOFF__TIMEOUT_MS": "180000"}

# How the notice ends of a write that took over a second.
SLOW_DISK = "the disk is slow"

# Examples that name one of these run where it is installed; the others, where nothing is.
FRAMEWORKS = re.compile("fastapi|django|flask|sqlalchemy|pytest")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("TRAILSEAL_", "AUDIT_")) and name != "TRAILSEAL_ROUNDS":
            monkeypatch.delenv(name)
    for name, value in PATIENT_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def trail() -> Iterator[Trail]:
    trail = Trail.temporary(**PATIENT)
    yield trail
    trail.close()


@pytest.fixture
def audit_trail() -> Iterator[Trail]:
    """That of the plugin, with patience. The plugin's own is tried in a pytest of its own."""
    trail = Trail.temporary(**PATIENT)
    yield trail
    trail.close()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program of its own in ``tmp_path``, with ``dir`` set to a folder for a trail."""

    def run(program: str, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        text = "import os, sys\nfrom trailseal import Trail\n" + textwrap.dedent(program)
        command = [sys.executable, "-P", "-c", text, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=timeout, check=False)

    return run


def lines(dir: str | Path) -> list[dict[str, Any]]:
    """The lines of a trail's segments, without the trail's own, after its next opening has recovered them."""
    found = []
    for segment in sorted(Path(dir).glob("segments/*.jsonl")):
        found += [json.loads(line) for line in segment.read_text().splitlines()]
    return [line for line in found if not line.get("system")]


def recovered(dir: str | Path) -> list[dict[str, Any]]:
    """The same, and the trail verified."""
    with Trail.open(dir, handoff_size="4MiB", environment=False, **PATIENT) as again:
        assert again.seal(PATIENCE)
        assert again.verify()["ok"]
    return lines(dir)


def until(what: str, holds: Callable[[], bool]) -> None:
    """Waits for something that must come."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"{what} has not come"
        time.sleep(0.01)


def complaints(stderr: str) -> list[str]:
    """What a program said on stderr, but for a word on a disk that is slow, which is no fault of the program."""
    return [line for line in stderr.splitlines() if not line.endswith(SLOW_DISK)]


def one(trail: Trail) -> dict[str, Any]:
    """The newest event."""
    event = next(trail.query(limit=1, order_by="recorded"))
    assert isinstance(event, dict)
    return event


assert "site-packages" in (trailseal.__file__ or ""), "these tests are for the installed package"
