"""`trailseal.migrate.cloud_pms`: what the users of document 001 rely on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from conftest import PATIENCE
from fastapi import FastAPI

from migrate.world import World
from trailseal import Trail
from trailseal.migrate import cloud_pms
from trailseal.migrate.cloud_pms import (
    NotInAnAuditLog,
    _audit_executor,
    _audit_stats,
    _write_audit_log_impl,
    counts,
    get_audit_health,
    get_audit_stats,
    set_audit_mode,
    shutdown_audit_logger,
    wrap,
    write_audit_log_async,
    writer,
)

DOCUMENT = "001"
PAYLOAD = {
    "yacht_id": "y1",
    "entity_type": "part",
    "action": "update_part",
    "entity_id": "p1",
    "user_id": "u1",
    "old_values": '{"price": 1}',
    "new_values": {"price": 2},
    "metadata": {"source": "lens"},
    "signature": {"actor_role": "chief"},
    "execution_id": "e1",
}


class Untouched:
    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object  # whoever looks through all objects sees it
        raise AssertionError(f"db was touched: {name}")


def test_a_payload_becomes_an_event_and_a_row(world: World) -> None:
    write_audit_log_async(Untouched(), PAYLOAD)
    (event,) = world.events(tenant="y1")
    assert (event["before"], event["after"]) == ({"price": 1}, {"price": 2})
    assert event["details"] == {"source": "lens", "execution_id": "e1"}
    row = cloud_pms.row_of(event)
    assert row["id"] == event["id"] and datetime.fromisoformat(row["created_at"]).tzinfo
    expected = PAYLOAD | {"old_values": {"price": 1}, "metadata": event["details"]}
    expected.pop("execution_id")
    assert {name: row[name] for name in expected} == expected
    assert row["signature"] == {"actor_role": "chief"} and row["user_id"] == row["created_by"] == "u1"


class Hostile(dict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "payload", [{}, None, [], "text", {"action": None}, {"action": "a", "new_values": "{broken"}, Hostile()]
)
def test_no_payload_raises(world: World, payload: Any) -> None:
    write_audit_log_async(None, payload)
    _write_audit_log_impl(None, payload)
    world.wait_for(lambda: get_audit_stats()["queue_size"] == 0)
    counts = dict(_audit_stats)
    assert counts["submitted"] == 1 and counts["succeeded"] + counts["failed"] == 2


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 5_000, f"[{'1' * 5_000}]", '{"a": 1'], ids=lambda text: text[:4])
def test_a_text_that_is_no_json_to_read_is_kept_as_it_is(world: World, text: str) -> None:
    write_audit_log_async(None, PAYLOAD | {"new_values": text})
    (event,) = world.events()
    assert event["after"][:1000] == text[:1000]
    assert get_audit_stats()["failed"] == 0


def test_what_is_missing_is_named_and_the_rest_is_kept(world: World) -> None:
    write_audit_log_async(None, {"action": "create_part", "entity_id": "p1"})
    write_audit_log_async(None, {"yacht_id": "y1"})
    first, second = world.events()
    assert first["details"]["missing"] == ["yacht_id", "entity_type", "user_id"]
    assert (second["action"], second["tenant"]) == ("unknown", "y1")
    write_audit_log_async(None, {"action": "create_part", "entity_id": "p2"})
    # Each event says it for itself, the log once for each kind.
    assert sum("payload is incomplete" in line for line in world.logged()) == 2
    assert get_audit_stats()["failed"] == 0


def test_the_numbers_are_live_and_can_be_cleared(world: World) -> None:
    for _ in range(5):
        write_audit_log_async(None, PAYLOAD)
    assert _audit_stats["submitted"] == 5
    world.wait_for(lambda: _audit_stats["succeeded"] == 5)
    assert get_audit_stats() == {
        "submitted": 5, "succeeded": 5, "failed": 0, "success_rate": "100.0%", "queue_size": 0
    }  # fmt: skip
    with patch.object(counts, "durable_of", lambda trail: 0):
        write_audit_log_async(None, PAYLOAD)
        assert _audit_executor._work_queue.qsize() == 1
        # What was submitted before is not counted after.
        _audit_stats["submitted"] = _audit_stats["succeeded"] = 0
        write_audit_log_async(None, PAYLOAD)
        assert _audit_executor._work_queue.qsize() == 2
    world.wait_for(lambda: _audit_executor._work_queue.qsize() == 0)
    assert dict(_audit_stats) == {"submitted": 1, "succeeded": 1, "failed": 0}
    _audit_stats["failed"] += 1
    assert _audit_stats["failed"] == 1
    for wrong in (lambda: _audit_stats.__setitem__("dropped", 1), lambda: _audit_stats.__getitem__("dropped")):
        with pytest.raises(KeyError):
            wrong()
    assert repr(_audit_stats) == repr(dict(_audit_stats))
    before = _audit_stats.copy()
    with patch.dict(_audit_stats, {"submitted": 7}):
        assert _audit_stats["submitted"] == 7
    assert dict(_audit_stats) == before
    _audit_stats.clear()
    assert dict(_audit_stats) == {"submitted": 0, "succeeded": 0, "failed": 0}


def test_many_threads_are_counted_exactly(world: World) -> None:
    def write() -> None:
        for _ in range(500):
            write_audit_log_async(None, PAYLOAD)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _audit_stats["submitted"] == 3000
    world.wait_for(lambda: _audit_stats["succeeded"] == 3000)
    assert world.trail.count() == 3000


def test_a_failure_is_logged_and_counted(world: World) -> None:
    closed = Trail.temporary()
    closed.close()
    cloud_pms.configure(closed)
    write_audit_log_async(None, PAYLOAD)
    (record,) = [record for record in world.caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().startswith("Audit log write failed: ")
    assert (record.action, record.entity_id, bool(record.error)) == ("update_part", "p1", True)
    assert get_audit_stats()["success_rate"] == "0.0%" and get_audit_health() == "critical"


@pytest.mark.parametrize(
    ("succeeded", "failed", "queue", "health"),
    [(0, 0, 0, "good"), (1000, 0, 9, "good"), (1000, 0, 10, "warning"), (1000, 0, 50, "warning"),
     (1000, 0, 51, "critical"), (996, 4, 0, "warning"), (990, 10, 0, "warning"), (989, 11, 0, "critical"),
     (979, 21, 0, "critical"), (0, 1, 0, "critical"), (0, 0, 5, "good")],
)  # fmt: skip
def test_the_documented_limits(succeeded: int, failed: int, queue: int, health: str) -> None:
    stats = {"submitted": succeeded + failed + queue, "succeeded": succeeded, "failed": failed}
    assert get_audit_health(stats | {"queue_size": queue}) == health


def test_a_write_that_takes_longer_than_a_second_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 10.0, 11.5])
    # Its own clock only: other threads look at that of the process.
    monkeypatch.setattr(writer, "time", SimpleNamespace(monotonic=lambda: next(now)))
    _write_audit_log_impl(None, PAYLOAD)
    assert not world.logged(logging.WARNING)
    _write_audit_log_impl(None, PAYLOAD)
    assert world.logged(logging.WARNING) == ["Slow audit log write: 1.50s"]


def test_an_event_that_waits_for_a_second_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    for module in (counts, writer):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(counts, "durable_of", lambda trail: 0)
    write_audit_log_async(None, PAYLOAD)
    assert get_audit_stats()["queue_size"] == 1
    now[0] += 2.0
    get_audit_stats()
    get_audit_stats()
    assert world.logged(logging.WARNING) == ["Slow audit log write: 2.00s"]


class Stuck:
    """A trail whose disk does not answer."""

    is_closed = False
    asked: list[float]

    def __init__(self) -> None:
        self.asked = []

    def flush(self, timeout: float) -> bool:
        self.asked.append(timeout)
        return False

    def stats(self) -> dict[str, Any]:
        return {"accepted": 7, "durable": 4}


def test_the_shutdown_has_a_timeout_and_says_what_is_late(world: World) -> None:
    stuck: Any = Stuck()
    cloud_pms.configure(stuck)
    shutdown_audit_logger(wait=True, timeout=0.5)
    shutdown_audit_logger(wait=False)
    _audit_executor.shutdown(wait=True, timeout=0.25)
    assert stuck.asked == [0.5, 0.25]
    assert "3 audit logs are not on disk after 0.5 s: the next start recovers them" in world.logged()
    cloud_pms.configure(world.trail)
    shutdown_audit_logger(timeout=None)
    write_audit_log_async(None, PAYLOAD)
    assert get_audit_stats()["failed"] == 0


def test_what_is_written_while_the_shutdown_closes_the_trail_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setenv("TRAILSEAL_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("TRAILSEAL_HANDOFF__SIZE", "4MiB")
    cloud_pms.configure(None)
    stop = threading.Event()
    written = [0] * 3

    def write(number: int) -> None:
        while not stop.is_set():
            write_audit_log_async(None, PAYLOAD)
            written[number] += 1

    def has_written(more_than: int) -> bool:
        return sum(written) > more_than

    threads = [threading.Thread(target=write, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        before = sum(written)
        world.wait_for(partial(has_written, before + 20))
        shutdown_audit_logger(timeout=PATIENCE)
    stop.set()
    for thread in threads:
        thread.join()
    shutdown_audit_logger(timeout=PATIENCE)
    assert get_audit_stats()["failed"] == 0
    with Trail.open(tmp_path / "own", environment=False, workers="slots", handoff_size="4MiB") as trail:
        assert trail.count(action="update_part") == sum(written) == _audit_stats["succeeded"]


def test_the_mode_is_switched_while_it_runs(world: World) -> None:
    set_audit_mode("sync")
    write_audit_log_async(None, PAYLOAD)
    assert _audit_stats["succeeded"] == 1
    set_audit_mode("async")
    with pytest.raises(ValueError):
        set_audit_mode("off")  # type: ignore[arg-type]
    assert len(world.events(action="trail.policy_changed", system=True)) == 2


def test_the_stats_endpoint_asks_who_may_read(world: World) -> None:
    app = FastAPI()
    app.include_router(cloud_pms.audit_stats_router(dependencies=[]))
    with world.serve(app) as client:
        answer = client.get("/admin/audit/stats")
    assert answer.headers["x-audit-health"] == "good"
    assert list(answer.json()) == ["submitted", "succeeded", "failed", "success_rate", "queue_size"]
    with pytest.raises(TypeError):
        cloud_pms.audit_stats_router()  # type: ignore[call-arg]


class Database:
    """A client with one table of its own."""

    def table(self, name: str) -> str:
        return f"table {name}"

    def rpc(self, name: str) -> str:
        return f"rpc {name}"


def test_the_table_itself_can_be_written_and_read(world: World) -> None:
    db = wrap(Database())
    assert (db.table("parts"), db.rpc("close")) == ("table parts", "rpc close")
    table = db.table("pms_audit_log")
    row: dict[str, Any] = {
        "id": "0193f1d2-0000-4000-8000-000000000001",
        "yacht_id": "y1",
        "action": "a",
        "entity_type": "part",
    }
    row |= {"entity_id": "p1", "created_by": "u1", "created_at": "2026-01-30T12:00:00.5", "old_values": None}
    assert table.insert(row).execute().data[0]["id"] == row["id"]
    table.insert([row | {"id": None, "yacht_id": "y2"}, row | {"id": None, "action": "b"}]).execute()
    (first,) = table.select("*").eq("yacht_id", "y1").eq("action", "a").execute().data
    assert (first["id"], first["created_by"]) == (row["id"], "u1")
    assert first["created_at"].startswith("2026-01-30T12:00:00.5")
    found = table.select("action", count="exact").eq("entity_type", "part").eq("entity_id", "p1").eq("user_id", "u1")
    answer = found.gte("created_at", "2026-01-30T12:00:00").lt("created_at", "2026-01-31T00:00:00").limit(2).execute()
    assert answer.count == 3 and all(list(one) == ["action"] for one in answer.data) and len(answer.data) == 2
    assert len(table.select("*").order("created_at", desc=True).range(1, 2).execute().data) == 2
    assert table.select("*").gt("created_at", "2026-01-30T12:00:00.5").execute().data == []
    assert len(table.select("*").lte("created_at", "2026-01-30T12:00:00.5").execute().data) == 3
    refused: tuple[Callable[[], Any], ...] = (
        lambda: table.update({"action": "x"}),
        lambda: table.delete(),
        lambda: table.select("*").eq("new_values", 1),
        lambda: table.select("*").order("action"),
        lambda: table.select("*").gte("created_at", "yesterday"),
        lambda: table.select("*").eq("entity_id", "p1").execute(),
    )
    for call in refused:
        with pytest.raises(NotInAnAuditLog):
            call()


def test_rows_that_cannot_be_recorded_raise_as_a_table_does(world: World) -> None:
    closed = Trail.temporary()
    closed.close()
    cloud_pms.configure(closed)
    with pytest.raises(Exception, match="closed"):
        wrap().table("pms_audit_log").insert(PAYLOAD).execute()


def test_a_submitted_function_is_done_at_once_and_keeps_its_error(world: World) -> None:
    assert _audit_executor.submit(max, 1, 2).result() == 2
    assert isinstance(_audit_executor.submit(int, "x").exception(), ValueError)
