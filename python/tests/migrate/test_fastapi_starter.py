"""`trailseal.migrate.fastapi_starter`: what the users of document 002 rely on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tomllib
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import Depends, FastAPI, Request

from migrate.world import World
from trailseal import Receipt, Trail
from trailseal.migrate import fastapi_starter as starter
from trailseal.migrate.fastapi_starter import (
    AuditAction,
    AuditEvent,
    AuditLog,
    AuditService,
    AuditSettings,
    AuditStatus,
    clear_audit_context,
    configure,
    get_audit_context,
    set_audit_context,
    settings,
)

DOCUMENT = "002"
TENANT, OTHER, USER, ADMIN = uuid4(), uuid4(), uuid4(), uuid4()


@dataclass
class Given:
    """The application's own settings."""

    audit_mode: Any
    audit_sample_rate: Any


class Untouched:
    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object  # whoever looks through all objects sees it
        raise AssertionError(f"it was touched: {name}")


def service(tenant: UUID = TENANT) -> AuditService:
    return AuditService(Untouched(), Untouched(), tenant)


def test_an_action_is_recorded_with_all_its_fields(world: World) -> None:
    set_audit_context("203.0.113.7", "ui/1", "r1")
    assert get_audit_context() == starter.AuditContext("203.0.113.7", "ui/1", "r1")
    entity = uuid4()
    try:
        made = asyncio.run(service().log_action(AuditAction.USER_UPDATE, "user", entity, USER, {"name": "Ana"}))
        failed = asyncio.run(service().log_failure("import.run", "import", "x" * 1500, user_id=USER))
    finally:
        clear_audit_context()
    assert get_audit_context() is None
    assert isinstance(made, AuditLog) and isinstance(failed, AuditLog)
    first, second = world.events(tenant=str(TENANT))
    read = AuditLog.from_event(first)
    assert vars(read) == vars(made) | {"created_at": read.created_at}
    assert (made.action, made.entity_id, made.user_id, made.changes) == ("user.update", entity, USER, {"name": "Ana"})
    assert (made.ip_address, made.user_agent, made.request_id) == ("203.0.113.7", "ui/1", "r1")
    assert (made.status, failed.status, made.created_at.tzinfo) == ("success", "failure", None)
    assert second["error"] == "x" * 1500


@pytest.mark.parametrize(("mode", "is_durable"), [("sync", True), ("async", False), ("sampled", True)])
def test_what_each_mode_waits_for(world: World, mode: str, is_durable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    record_async, receipts = Trail.record_async, list[Receipt]()

    async def noting(trail: Trail, *given: Any, **named: Any) -> Receipt:
        receipts.append(await record_async(trail, *given, **named))
        return receipts[-1]

    monkeypatch.setattr(Trail, "record_async", noting)
    settings.audit_mode = mode
    assert asyncio.run(service().log_success("tenant.update", "tenant"))
    [receipt] = receipts
    assert receipt.status == ("durable" if is_durable else "accepted")
    if is_durable:
        assert receipt.index is not None and receipt.index < world.trail.stats()["durable"]


def test_the_mode_can_change_while_it_runs(world: World) -> None:
    for mode, rate in (("sync", 1.0), ("sampled", 0.0), ("async", 0.0), ("sampled", 1.0), ("sync", 0.5)):
        settings.audit_mode, settings.audit_sample_rate = mode, rate
        kept = asyncio.run(service().log_success("tenant.update", mode))
        assert (kept is None) == ((mode, rate) == ("sampled", 0.0))
        policy = tomllib.loads(world.trail.policy())
        assert (policy.get("mode", "async") == "sampled") == (mode == "sampled")
    assert len(world.events(action="tenant.update")) == 4


def test_sampling_never_leaves_out_what_failed_or_is_about_security(world: World) -> None:
    settings.audit_mode, settings.audit_sample_rate = "sampled", 0.0
    exempt = [AuditAction.USER_LOGIN, "identity.assumed", "member.role_change", "password.change"]

    async def record() -> None:
        for action in exempt:
            assert await service().log_success(action, "user")
        assert await service().log_failure("tenant.update", "tenant", "no")
        assert await service().log_success("tenant.update", "tenant") is None

    asyncio.run(record())
    assert world.trail.stats()["sampled_out"] == 1


def test_a_policy_that_is_in_line_is_left_alone(world: World) -> None:
    settings.audit_mode, settings.audit_sample_rate = "sampled", 0.5
    for _ in range(2):
        configure(trail=world.trail)
        starter.settings.__class__.__init__(settings, "sampled", 0.5)
        asyncio.run(service().log_failure("a", "b", "c"))
    assert len(world.events(action="trail.policy_changed", system=True)) == 1


@pytest.mark.parametrize("rate", [-0.01, 1.01, float("nan"), float("inf"), "half", None])
def test_a_rate_outside_fails_at_the_start(rate: Any, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    with pytest.raises(ValueError, match="audit_sample_rate"):
        AuditSettings(audit_sample_rate=rate)
    with pytest.raises(ValueError, match="audit_sample_rate"):
        settings.audit_sample_rate = rate
    with pytest.raises(ValueError, match="audit_sample_rate"):
        configure(Given(audit_mode="sync", audit_sample_rate=rate), trail=world.trail)
    if rate is not None:
        monkeypatch.setenv("AUDIT_SAMPLE_RATE", str(rate))
        with pytest.raises(ValueError, match="audit_sample_rate"):
            AuditSettings.from_environment()


def test_a_mode_that_does_not_exist_fails_at_the_start(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setenv("AUDIT_MODE", "temporal")
    with pytest.raises(ValueError, match="sync, async, sampled"):
        AuditSettings.from_environment()
    with pytest.raises(ValueError, match="temporal"):
        configure(Given(audit_mode="temporal", audit_sample_rate=1.0), trail=world.trail)
    with pytest.raises(AttributeError):
        settings.audit_modus = "sync"


def test_a_failure_is_logged_and_never_raised(world: World) -> None:
    closed = Trail.temporary()
    closed.close()
    configure(trail=closed)
    assert asyncio.run(service().log_success("user.login", "user")) is None
    asyncio.run(service().log_event(AuditEvent("user.login", "user")))
    (first, _) = [record for record in world.caplog.records if record.levelno == logging.WARNING]
    assert first.getMessage().startswith("Failed to record audit log")
    assert (first.action, first.entity_type) == ("user.login", "user")


@pytest.mark.parametrize("changes", [[1], "text", 5])
def test_changes_of_another_shape_lose_no_event(world: World, changes: Any) -> None:
    assert asyncio.run(service().log_success("user.update", "user", changes=changes)) is not None
    assert world.actions() == ["user.update"]


def test_a_cancelled_request_has_recorded(world: World) -> None:
    async def request() -> None:
        task = asyncio.ensure_future(service().log_success("tenant.update", "tenant"))
        await asyncio.sleep(0)
        task.cancel()
        # The disk may have been faster.
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(request())
    assert world.actions(action="tenant.update") == ["tenant.update"]


def test_tenants_see_their_own_events_only(world: World) -> None:
    entity = uuid4()

    async def look() -> None:
        await service().log_success("a", "user", entity, USER)
        await service(OTHER).log_success("b", "user", entity, USER)
        for tenant, action in ((TENANT, "a"), (OTHER, "b")):
            for page in (
                await service(tenant).list_logs(),
                await service(tenant).list_logs(user_id=USER),
                await service(tenant).list_entity_history("user", entity),
            ):
                items, cursor, has_more = page
                assert [item.action for item in items] == [action]
                assert (cursor, has_more) == (None, False)
        assert (await service().list_logs(action="b"))[0] == []
        assert (await service().list_logs(action=AuditAction.USER_LOGIN))[0] == []
        with pytest.raises(ValueError, match="tenant"):
            await AuditService().list_logs()

    asyncio.run(look())


def test_pages_follow_each_other_without_gap_or_repeat(world: World) -> None:
    async def pages() -> None:
        await asyncio.gather(
            *(service().log_success(f"a{number}", "user", uuid4(), USER) for number in range(23)),
            *(service().log_success(f"b{number}", "user", uuid4(), USER, assumed(ADMIN)) for number in range(23)),
            *(service().log_success(f"c{number}", "user", uuid4(), ADMIN, assumed(USER)) for number in range(5)),
            *(service().log_success(f"d{number}", "user", uuid4(), ADMIN) for number in range(5)),
        )
        for user, wanted in ((USER, "ab"), (ADMIN, "cd"), (None, "abcd")):
            for size in (1, 7, 46, 100):
                found: list[str] = []
                cursor, more = None, True
                while more:
                    items, cursor, more = await service().list_logs(cursor, size, user_id=user)
                    assert len(items) == size or not more
                    found += [item.action for item in items]
                expected = [event["action"] for event in world.trail.query(tenant=str(TENANT))]
                assert found == [action for action in expected if action[0] in wanted]

    asyncio.run(pages())


def assumed(operator: UUID) -> dict[str, Any]:
    return {"_assumed_identity": {"operator_user_id": str(operator), "reason": "support"}}


def test_an_assumed_identity_says_who_really_did_it(world: World) -> None:
    made = asyncio.run(service().log_success("user.update", "user", user_id=USER, changes=assumed(ADMIN)))
    assert made is not None and (made.user_id, made.assumed_by_user_id) == (USER, ADMIN)
    (event,) = world.events()
    assert event["actor"] == {"id": str(ADMIN)}
    assert event["on_behalf_of"] == {"id": str(USER), "reason": "support"}
    assert AuditLog.from_event(event).assumed_by_user_id == ADMIN


@pytest.mark.parametrize("cursor", ["nonsense", "W10=", "eyJhIjoxfQ==", "é"])
def test_a_cursor_that_is_none_is_refused(world: World, cursor: str) -> None:
    for user in (None, USER):
        with pytest.raises(ValueError, match="cursor"):
            asyncio.run(service().list_logs(cursor, user_id=user))


def test_through_a_real_application(world: World) -> None:
    app = FastAPI()

    async def audit(request: Request) -> AuditService:
        set_audit_context(request.client.host if request.client else None, request.headers.get("user-agent"))
        return AuditService(None, None, TENANT)

    @app.post("/login")
    async def login(audit: AuditService = Depends(audit)) -> dict[str, Any]:
        made = await audit.log_failure(AuditAction.USER_LOGIN, "user", "wrong password", user_id=USER)
        assert made is not None
        return vars(made)

    @app.get("/audit/logs")
    async def logs(cursor: str | None = None, audit: AuditService = Depends(audit)) -> dict[str, Any]:
        items, after, more = await audit.list_logs(cursor, 1)
        return {"items": items, "next_cursor": after, "has_more": more}

    with world.serve(app) as client:
        made = client.post("/login", headers={"User-Agent": "ui"}).json()
        client.post("/login").raise_for_status()
        page = client.get("/audit/logs").json()
        last = client.get("/audit/logs", params={"cursor": page["next_cursor"]}).json()
    assert page["has_more"] and not last["has_more"]
    assert last["items"][0]["id"] == made["id"]
    assert last["items"][0]["status"] == AuditStatus.FAILURE
    assert last["items"][0]["user_agent"] == "ui"
