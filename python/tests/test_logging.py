"""Every event in the application's logs, too."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from trailseal import Trail
from trailseal.logging import mirror


def test_events_are_logged_at_their_severity_after_masking(caplog: pytest.LogCaptureFixture) -> None:
    trail = Trail.temporary()
    trail.record("before.the.mirror")
    mirrored = mirror(trail)
    with caplog.at_level(logging.DEBUG, "trailseal.audit"):
        trail.record("user.login", actor="anna", resource="session/1", outcome="denied", severity="warning")
        trail.record("key.read", details={"password": "hunter2-is-secret"}, severity="debug")
        trail.record("line\nbreak", actor='quote" and space')
        trail.close()
        assert mirrored.wait(20)
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
    assert mirrored.wait(20)
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
    assert mirrored.wait(20)
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
    assert mirrored.stop(20)
