"""Each test has a trail of its own, with the masks of its document."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import structlog
from conftest import PATIENCE, PATIENT

from migrate.world import World
from trailseal import Trail
from trailseal.migrate import _proof, bud, cloud_pms, fastapi_starter, resync
from trailseal.migrate.resync import encrypted, log, queue

PRESETS = {"000": "000", "003": "003"}


@pytest.fixture
def world(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """A trail that all four modules record into."""
    caplog.set_level(logging.DEBUG, logger="trailseal")
    monkeypatch.setattr(_proof.verify_record, "__defaults__", (PATIENCE,))
    preset = PRESETS.get(getattr(request, "param", None) or str(getattr(request.module, "DOCUMENT", "")))
    trail = Trail.open(
        tmp_path / "trail", environment=False, mode="async", handoff_size="4MiB", mask_preset=preset, **PATIENT
    )
    modules = (resync, cloud_pms, fastapi_starter, bud)
    for module in modules:
        module.configure(trail=trail)
    forget()
    yield World(trail, caplog)
    resync.faults.stop()
    for module in modules:
        module.configure(trail=None)
    trail.close()
    structlog.reset_defaults()


def forget() -> None:
    """Lets each test begin with nothing counted and nobody ready."""
    log._instance = None
    queue._instance = None
    encrypted._instance = None
    for name in cloud_pms._audit_stats:
        cloud_pms._audit_stats[name] = 0
    cloud_pms.writer._noted.clear()
    resync.faults.__init__()  # type: ignore[misc]
    fastapi_starter.settings.audit_mode = "sync"
    fastapi_starter.settings.audit_sample_rate = 1.0


@pytest.fixture(autouse=True, scope="session")
def resync_application() -> None:
    """What document 000 imports from its application, and what is not audit."""
    tracked: set[asyncio.Task[Any]] = set()

    def track_task(coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        tracked.add(task)
        task.add_done_callback(tracked.discard)
        return task

    def run_sync(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(coroutine)

    parts: dict[str, dict[str, Callable[..., Any]]] = {
        "resync": {},
        "resync.core": {},
        "resync.core.task_tracker": {"track_task": track_task},
        "resync.core.utils": {},
        "resync.core.utils.async_bridge": {"run_sync": run_sync},
    }
    for name, functions in parts.items():
        module = ModuleType(name)
        module.__dict__.update(functions)
        sys.modules[name] = module
