"""`trailseal.migrate.resync`: what the users of document 000 rely on."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from migrate.tampering import change
from migrate.world import World
from trailseal import Trail
from trailseal.migrate import resync
from trailseal.migrate.resync import (
    AuditDB,
    AuditEntry,
    AuditLog,
    AuditQueue,
    EncryptedAuditTrail,
    faults,
    get_audit_log,
    get_audit_log_manager,
    get_audit_queue,
    log_audit_event,
    log_audit_event_async,
)
from trailseal.migrate.resync.reviews import Reviews

DOCUMENT = "000"
MEMORY = {"id": "m1", "user_query": "Why?", "agent_response": "So.", "ia_audit_confidence": 0.4}


def test_many_tasks_and_threads_get_one_ready_instance(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[AuditDB] = []

    def slowly(self: AuditDB) -> None:
        made.append(self)
        time.sleep(0.05)
        self._initialized = True

    monkeypatch.setattr(AuditDB, "initialize", slowly)
    found: list[tuple[Any, bool]] = []

    async def ask() -> None:
        for accessor in (get_audit_log, get_audit_log_manager, get_audit_queue):
            instance: Any = await accessor()
            found.append((instance, instance._initialized))

    async def many() -> None:
        await asyncio.gather(*(ask() for _ in range(100)))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(found) == 1200 and all(is_ready for _, is_ready in found)
    assert {type(instance) for instance, _ in found} == {AuditLog, AuditQueue}
    assert len({id(instance) for instance, _ in found}) == 2


def test_an_event_is_recorded_outside_of_a_loop(world: World) -> None:
    entry = log_audit_event("login", "u1", {"from": "web"}, correlation_id="c1", severity="WARNING")
    assert isinstance(entry, AuditEntry) and entry.recorded
    (event,) = world.events()
    assert (event["id"], event["index"], event["severity"]) == (entry.id, entry.index, "warning")
    assert event["context"] == {"correlation_id": "c1", "component": "main"}
    assert (entry.severity, entry.source_component, entry.details) == ("WARNING", "main", {"from": "web"})
    assert AuditEntry.from_event(event).metadata == entry.metadata


def test_in_a_loop_it_is_recorded_before_the_call_returns(world: World) -> None:
    async def request() -> AuditEntry:
        entry = log_audit_event("login", "u1", {})
        # No task has had its turn yet, so that none can be lost with the loop.
        assert world.actions() == ["login"]
        return entry

    assert asyncio.run(request()).recorded


def test_in_a_loop_a_policy_that_waits_for_the_disk_holds_nobody_up(world: World) -> None:
    world.trail.set_mode("sync")

    async def request() -> AuditEntry:
        entry = log_audit_event("login", "u1", {})
        while not world.logged():
            await asyncio.sleep(0)
        return entry

    entry = asyncio.run(request())
    assert [event["id"] for event in world.events()] == [entry.id]


def test_severities_are_in_capitals_and_are_found_again(world: World) -> None:
    for severity in ("INFO", "WARNING", "ERROR", "CRITICAL"):
        log_audit_event("check", "u1", {}, severity=severity)

    async def search() -> None:
        log = await get_audit_log()
        assert [entry.severity for entry in await log.get_recent()] == ["CRITICAL", "ERROR", "WARNING", "INFO"]
        (found,) = await log.search(severity="ERROR")
        assert found.severity == "ERROR"

    asyncio.run(search())


def test_search_filters_and_each_date_counts_alone(world: World) -> None:
    async def search() -> None:
        log = AuditLog()
        await log.log("part.create", user_id="u1", entity_type="part", entity_id=1, new_value={"n": 1})
        await log.log("part.delete", user_id="u2", entity_type="part", entity_id=1, old_value={"n": 1})
        soon = datetime.now(UTC) + timedelta(hours=1)
        counted = {
            "all": await log.search(),
            "user": await log.search(user_id="u1"),
            "action": await log.search(action="part.*"),
            "type": await log.search(entity_type="part"),
            "since": await log.search(start_date=soon),
            "until": await log.search(end_date=soon),
            "both": await log.search(start_date=soon - timedelta(hours=2), end_date=soon),
            "text": await log.search(query="part.delete"),
            "limit": await log.search(limit=1),
        }
        assert {name: len(found) for name, found in counted.items()} == {
            "all": 2, "user": 1, "action": 2, "type": 2, "since": 0, "until": 2, "both": 2, "text": 1, "limit": 1
        }  # fmt: skip
        (created,) = counted["user"]
        assert (created.entity_type, created.entity_id, created.new_value) == ("part", "1", {"n": 1})
        (deleted,) = await AuditDB().get_user_actions("u2")
        assert deleted.old_value == {"n": 1}
        assert len(await AuditDB().get_entity_history("part", 1)) == 2
        assert [entry.action for entry in await AuditDB().get_recent_actions(1, offset=1)] == ["part.create"]
        assert await log.get_audit_metrics() == {"total_records": 2, "initialized": False}

    asyncio.run(search())
    assert AuditDB().get_record_count() == 2


def test_every_event_is_one_line_in_the_log_without_its_secrets(world: World) -> None:
    details = {"password": "hunter2", "list": [{"api_key": "k"}], "credentials": {"user": "a", "x": "y"}, "n": 1}
    log_audit_event("login", "u1", details, correlation_id="c1", severity="ERROR")
    asyncio.run(log_audit_event_async("login", "u1", details))
    asyncio.run(AuditLog().log("login", user_id="u1", metadata=details))
    lines = world.logged()
    assert len(lines) == 3
    for line in lines:
        name, text = line.split(" ", 1)
        fields = json.loads(text)
        assert (name, fields["event_type"], fields["action"]) == ("AUDIT_EVENT", "audit", "login")
        assert fields["details"] == {
            "password": "REDACTED", "list": [{"api_key": "REDACTED"}], "credentials": "REDACTED", "n": 1
        }  # fmt: skip
    assert json.loads(lines[0].split(" ", 1)[1])["severity"] == "ERROR"
    for event in world.events():
        assert event["details"]["password"] == "REDACTED" and event["details"]["n"] == 1
        assert "hunter2" not in json.dumps(event)


def test_the_line_goes_to_structlog_where_it_is_set_up(world: World) -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    with capture_logs() as lines:
        log_audit_event("login", "u1", {"n": 1}, severity="CRITICAL")
    (line,) = lines
    assert (line["event"], line["severity"], line["details"]) == ("AUDIT_EVENT", "CRITICAL", {"n": 1})
    assert not world.logged()


def test_the_line_is_there_whatever_the_details_are(world: World) -> None:
    cycle: dict[Any, Any] = {"n": float("nan"), ("a", 1): 2, Hostile(): 3, "text": "\ud800\n"}
    cycle["self"] = cycle
    assert log_audit_event("login", "u1", cycle).recorded
    (line,) = world.logged()
    fields = json.loads(line.removeprefix("AUDIT_EVENT "), parse_constant=pytest.fail)
    assert fields["details"]["n"] == "NaN" and "\n" not in line


def test_the_methods_take_their_parameters_in_order(world: World) -> None:
    async def write() -> None:
        log = AuditLog()
        await log.log("login", "u1", "user", "7")
        await log.log_action("logout", "u1", "user", "7", None, {"on": False})
        assert [entry.action for entry in await log.search("login")] == ["login"]

    asyncio.run(write())
    assert [event["resource"]["id"] for event in world.events()] == ["7", "7"]


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("action", "user", "details"),
    [("a", Hostile(), {}), ("a", "u", {"x": Hostile()}), ("a", "u", None), ("a", "u", [1]), (None, None, None)],
)
def test_nothing_that_is_logged_raises(world: World, action: Any, user: Any, details: Any) -> None:
    for _ in range(2):
        assert isinstance(log_audit_event(action, user, details), AuditEntry)
        assert isinstance(asyncio.run(log_audit_event_async(action, user, details)), AuditEntry)


def test_a_failure_is_logged_and_the_entry_says_so(world: World) -> None:
    closed = Trail.temporary()
    closed.close()
    resync.configure(closed)
    entries = [log_audit_event("login", "u1", {"n": 1}), asyncio.run(log_audit_event_async("login", "u1", {}))]
    assert not any(entry.recorded for entry in entries)
    assert entries[0].details == {"n": 1}
    errors = world.logged(logging.ERROR)
    assert len(errors) == 2 and all(line.startswith("Failed to persist audit event: ") for line in errors)


def test_closing_twice_and_going_on(tmp_path: Any, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAILSEAL_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("TRAILSEAL_HANDOFF__SIZE", "4MiB")
    resync.configure(None)

    async def life() -> None:
        log = await get_audit_log()
        await log.log("one")
        await log.close()
        await log.close()
        assert not log._initialized
        log = await get_audit_log()
        assert log._initialized
        await log.log("two")
        assert [entry.action for entry in await log.get_recent()] == ["two", "one"]
        await log.close()

    asyncio.run(life())
    with Trail.open(tmp_path / "own", environment=False, workers="slots") as trail:
        assert trail.count() == 2


def test_faults_can_be_switched_on_and_read(world: World) -> None:
    with faults.on("fails"):
        assert not log_audit_event("lost", "u1", {}).recorded
        with pytest.raises(resync.StorageFault):
            asyncio.run(AuditLog().log("lost"))
    with faults.on("cut_off", delay=0.01):
        assert not asyncio.run(log_audit_event_async("lost", "u1", {})).recorded
    with faults.on("slow", delay=0.01):
        assert log_audit_event("late", "u1", {}).recorded
    assert log_audit_event("good", "u1", {}).recorded
    assert faults.metrics() == {"active": None, "injected": 4, "refused": 3, "delayed": 2, "written": 2}
    assert world.actions(action=["lost", "late", "good"]) == ["late", "good"]
    noted = world.events(action="chaos.*")
    assert [event["action"] for event in noted] == ["chaos.fault_started", "chaos.fault_ended"] * 3
    assert noted[1]["details"]["refused"] == 2
    for bad in ({"share": 2.0}, {"delay": -1.0}, {"share": float("nan")}):
        with pytest.raises(ValueError):
            faults.start("slow", **bad)
    with pytest.raises(ValueError):
        faults.start("burns")  # type: ignore[arg-type]


def test_a_slow_storage_does_not_hold_up_the_loop(world: World) -> None:
    async def request() -> None:
        with faults.on("slow", delay=0.2):
            log_audit_event("late", "u1", {})
            # It would be there if the call had waited.
            assert world.actions(action="late") == []
            while not world.actions(action="late"):
                await asyncio.sleep(0.01)

    asyncio.run(request())


def test_the_chaos_checks_succeed_and_can_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for check in (resync._audit_db_failure_injection, resync._component_isolation_testing):
        result = asyncio.run(check())
        assert result.success and not result.anomalies_detected, result
        assert result.details["faults"]["injected"] > 0
    assert asyncio.run(resync._fuzz_audit_records()) == {"passed": 5, "failed": 0, "errors": []}

    async def nothing() -> None:
        return None

    monkeypatch.setattr(faults, "before_write_async", nothing)
    for check in (resync._audit_db_failure_injection, resync._component_isolation_testing):
        assert not asyncio.run(check()).success


def test_reviews(world: World) -> None:
    async def review() -> None:
        queue = await get_audit_queue()
        assert await queue.add_audit_record(MEMORY)
        assert not await queue.add_audit_record(MEMORY)
        assert await queue.add_audit_record(MEMORY | {"id": "m2"})
        assert [record["memory_id"] for record in await queue.get_pending_audits()] == ["m1", "m2"]
        assert len(await queue.get_pending_audits(limit=1)) == 1
        assert await queue.get_queue_length() == 2
        assert await queue.get_audit_metrics() == {"pending": 2, "initialized": True}
        assert await queue.update_audit_status("m1", "approved", reviewed_by="admin")
        assert not await queue.update_audit_status("m9", "approved")
        assert await queue.is_memory_approved("m1") and not await queue.is_memory_approved("m2")
        assert await queue.get_review_metrics() == {"total": 2, "pending": 1, "approved": 1, "rejected": 0}
        (approved,) = await queue.get_audits_by_status("approved")
        assert approved["user_query"] == "Why?" and approved["reviewed_at"]
        assert await queue.cleanup_processed_audits(days_old=1) == 0
        for days in (0, 366):
            with pytest.raises(ValueError):
                await queue.cleanup_processed_audits(days)
        with pytest.raises(ValueError):
            await queue.update_audit_status("m1", "maybe")
        assert await queue.delete_audit_record("m1") and not await queue.delete_audit_record("m1")
        assert await queue.health_check()

    asyncio.run(review())
    # Somebody else who reads the trail sees the same.
    assert list(Reviews().read(world.trail)) == ["m2"]
    decided = world.events(action="review.decided")
    assert [(event["actor"]["id"], event["details"]["decision"]) for event in decided] == [("admin", "approved")]


@pytest.mark.parametrize(
    "change",
    [{"id": ""}, {"id": None}, {"id": "i" * 256}, {"user_query": ""}, {"user_query": "q" * 10_001},
     {"agent_response": 7}, {"user_query": "\0"}, {"ia_audit_confidence": 1.5}],
)  # fmt: skip
def test_a_record_that_cannot_be_reviewed_is_refused(world: World, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        asyncio.run(AuditQueue().add_audit_record(MEMORY | change))
    assert resync.add_audit_records_batch([MEMORY | change, MEMORY]) == [None, "m1"]


def test_two_that_ask_at_once_for_the_same_review(world: World) -> None:
    async def ask() -> list[bool]:
        queue = await get_audit_queue()
        return await asyncio.gather(*(queue.add_audit_record(MEMORY) for _ in range(20)))

    assert sorted(asyncio.run(ask())) == [False] * 19 + [True]
    assert world.actions() == ["review.requested"]


def test_the_encrypted_trail_keeps_its_promises(world: World) -> None:
    async def life() -> None:
        trail = await resync.get_encrypted_audit_trail()
        first = trail.log_event("authentication", "u1", "r1", "login", {"n": 1}, "203.0.113.7", "ui", "s1")
        trail.log_event("llm_query", user_id="u2", resource_id="r2")
        assert (await trail.verify_integrity())["integrity_status"] == "valid"
        key = await trail.rotate_encryption_key("quarterly")
        assert key and key != await trail.rotate_encryption_key()
        verdict = await trail.verify_integrity(full_chain_check=True)
        assert (verdict["integrity_status"], verdict["issues_found"]) == ("valid", [])
        assert verdict["pending_entries"] == 0
        (entry,) = trail.search_events(event_type="authentication")
        assert (entry.entry_id, entry.user_id, entry.resource_id, entry.session_id) == (first, "u1", "r1", "s1")
        assert (entry.action, entry.details, entry.ip_address) == ("login", {"n": 1}, "203.0.113.7")
        assert len(entry.hash_value) == 64
        (query,) = trail.search_events(event_type="llm_query", resource_id="r2", user_id="u2")
        assert query.action == "llm_query"
        assert len(trail.search_events(start_time=time.time() - 60, end_time=time.time() + 60)) >= 2
        export = await trail.export_forensic_data(0, time.time() + 60)
        assert export["events"][0]["entry_id"] == first and export["total_events"] == len(export["events"])
        numbers = trail.get_metrics_summary()
        assert numbers["performance"]["total_entries_logged"] == 2
        await trail.stop()
        await trail.stop()

    asyncio.run(life())


def test_the_encrypted_trail_finds_what_was_changed(world: World) -> None:
    trail = EncryptedAuditTrail()
    trail.log_event("authentication", "u1", action="login", details={"amount": 1111})
    change(world.trail, '"amount":1111', '"amount":2222')
    verdict = asyncio.run(trail.verify_integrity())
    assert (verdict["integrity_status"], verdict["issues_found"]) == ("compromised", ["edited"])
    assert trail.integrity_violations == 1
