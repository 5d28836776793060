"""Every event in the application's logs, too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from conftest import PATIENCE

from trailseal import Trail, TrailsealError
from trailseal.logging import Mirror, finish, mirror


def test_events_are_logged_at_their_severity_after_masking(caplog: pytest.LogCaptureFixture) -> None:
    trail = Trail.temporary()
    trail.record("before.the.mirror")
    mirrored = mirror(trail)
    with caplog.at_level(logging.DEBUG, "trailseal.audit"):
        trail.record("user.login", actor="anna", resource="session/1", outcome="denied", severity="warning")
        trail.record("key.read", details={"password": "hunter2-is-secret"}, severity="debug")
        trail.record("line\nbreak", actor='quote" and space')
        trail.close()
        assert mirrored.wait(PATIENCE)
    seen = [record for record in caplog.records if record.name == "trailseal.audit"]
    assert [record.levelname for record in seen] == ["WARNING", "DEBUG", "INFO"]
    assert seen[0].getMessage().startswith("action=user.login actor=anna resource=session/1 outcome=denied id=")
    assert all("\n" not in record.getMessage() for record in seen)
    audit: Any = seen[1].__dict__["audit"]
    assert audit["action"] == "key.read" and "hunter2" not in str(audit)


def test_structlog_gets_the_fields_as_keywords() -> None:
    structlog = pytest.importorskip("structlog")
    from structlog.testing import LogCapture

    capture = LogCapture()
    logger = structlog.wrap_logger(None, processors=[capture])
    trail = Trail.temporary()
    mirrored = mirror(trail, logger, action="user.*")
    trail.record("user.login", actor="anna", severity="error", details={"event": "x"}, extra={"event": "own"})
    trail.record("other")
    trail.close()
    assert mirrored.wait(PATIENCE)
    [entry] = capture.entries
    assert (entry["event"], entry["log_level"]) == ("user.login", "error")
    assert entry["actor"] == {"id": "anna"} and entry["details"] == {"event": "x"}


def test_a_handler_that_fails_does_not_end_the_mirror(caplog: pytest.LogCaptureFixture) -> None:
    shown: list[str] = []

    class Failing:
        def log(self, level: int, event: str, /, **fields: Any) -> None:
            shown.append(event)
            if event == "first":
                raise OSError("the log's disk is full")

    trail = Trail.temporary()
    mirrored = mirror(trail, Failing())
    trail.record("first")
    trail.record("second")
    trail.close()
    assert mirrored.wait(PATIENCE)
    assert shown == ["first", "second"]
    assert "was not mirrored" in caplog.text


def test_a_mirror_can_be_stopped() -> None:
    trail = Trail.temporary()
    shown: list[str] = []

    class Logger:
        def log(self, level: int, event: str, /, **fields: Any) -> None:
            shown.append(event)

    mirrored = mirror(trail, Logger())
    trail.close()
    assert mirrored.stop(PATIENCE)


@pytest.mark.parametrize("ends", ["pass", "trail.close()", "sys.exit(0)", "finish(trail); os._exit(0)"])
def test_the_end_of_the_process_waits_for_what_is_not_shown_yet(run: Callable[..., Any], ends: str) -> None:
    program = f"""
    import logging
    import trailseal.logging
    from trailseal.logging import finish, mirror

    trailseal.logging._WITHIN = {PATIENCE}
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    trail = Trail.open("trail")
    mirror(trail, action="seen")
    for _ in range(500):
        trail.record("seen")
        trail.record("other")
    {ends}
    """
    done = run(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("action=seen ") == 500


def test_a_log_that_hangs_does_not_hold_up_the_end(run: Callable[..., Any]) -> None:
    program = """
    import threading
    import trailseal.logging

    trailseal.logging._WITHIN = 0.2
    hangs = threading.Event()
    class Hangs:
        def log(self, level, event, /, **fields):
            hangs.set()
            threading.Event().wait()

    trail = Trail.open("trail")
    trailseal.logging.mirror(trail, Hangs())
    trail.record("seen")
    hangs.wait()
    """
    done = run(program)
    assert done.returncode == 0 and "before the mirror has shown the last audit events" in done.stderr


def test_what_the_disk_takes_is_not_waited_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waits = [100.0], list[float]()

    class Slow:
        is_closed = False

        def flush(self, timeout: float) -> None:
            now[0] += timeout
            raise TrailsealError("the disk is slow")

    def wait(self: Mirror, timeout: float = 10.0) -> bool:
        waits.append(timeout)
        return False

    monkeypatch.setattr("trailseal.logging.time.monotonic", lambda: now[0])
    with Trail.temporary() as trail:
        mirrored = mirror(trail)
        slow: Any = Slow()
        with monkeypatch.context() as patched:
            patched.setattr(mirrored, "_trail", slow)
            patched.setattr(Mirror, "wait", wait)
            finish(slow, timeout=3.0)
    assert waits == [0.0] and now == [103.0]
    assert mirrored.wait(PATIENCE)
