"""`trailseal.migrate.bud`: what the users of document 003 rely on."""

from __future__ import annotations

import asyncio
import csv
import io
import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse

from migrate.surroundings_003 import SessionUntouched
from migrate.tampering import change
from migrate.world import World
from trailseal import Trail
from trailseal.asgi import AuditMiddleware
from trailseal.migrate import bud
from trailseal.migrate.bud import (
    AuditActionEnum,
    AuditRecordFilter,
    AuditResourceTypeEnum,
    AuditService,
    audit_event,
    generate_csv_from_audit_records,
    generate_export_filename,
    log_audit,
    log_audit_async,
)

DOCUMENT = "003"
USER, ADMIN = uuid4(), uuid4()
MODEL = AuditResourceTypeEnum.MODEL


def note(action: Any = AuditActionEnum.CREATE, **fields: Any) -> None:
    log_audit(**{"session": SessionUntouched(), "action": action, "resource_type": MODEL, "user_id": USER} | fields)


def test_all_of_what_is_said_is_kept_whatever_the_action(world: World) -> None:
    for action in AuditActionEnum:
        given = {"reason": "r"}
        note(
            action,
            resource_id=uuid4(),
            resource_name="llama",
            details=given,
            previous_state={"a": 1},
            new_state={"a": 2},
        )
        assert given == {"reason": "r"}
    events = world.events()
    assert len(events) == len(AuditActionEnum) == 33 and len(AuditResourceTypeEnum) == 31
    for event, action in zip(events, AuditActionEnum, strict=True):
        assert event["action"] == action.value == str(action)
        assert (event["details"], event["before"], event["after"]) == ({"reason": "r"}, {"a": 1}, {"a": 2})
        assert event["resource"]["name"] == "llama" and event["resource"]["type"] == "model"
    outcomes = {event["action"]: event["outcome"] for event in events if event["outcome"] != "success"}
    assert outcomes == {
        "access_denied": "denied",
        "login_failed": "failure",
        "workflow_failed": "failure",
        "system_error": "failure",
    }
    assert {event["category"] for event in events} == {
        "authentication", "authorization", "workflow", "config_change", "data_change", "data_access"
    }  # fmt: skip


def test_success_and_who_acted_for_whom(world: World) -> None:
    note(success=False, details={"error": "quota"}, actioned_by=ADMIN)
    (event,) = world.events()
    assert (event["outcome"], event["error"]) == ("failure", "quota")
    assert event["actor"] == {"id": str(ADMIN)} and event["on_behalf_of"] == {"id": str(USER)}
    ((entry,), total) = AuditService().get_audit_records(user_id=USER)
    assert (entry.user_id, entry.actioned_by, total) == (str(USER), str(ADMIN), 1)
    assert entry.details == {"error": "quota", "success": False}


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


@pytest.mark.parametrize(
    "fields",
    [{"details": {"x": Hostile()}}, {"details": Hostile()}, {"user_id": Hostile()}, {"resource_id": Hostile()},
     {"details": {"error": Hostile()}, "success": False},
     {"action": Hostile()}, {"request": Hostile()}, {"previous_state": Hostile()}, {"details": [1]}],
)  # fmt: skip
def test_nothing_raises(world: World, fields: dict[str, Any]) -> None:
    note(**fields)
    if "request" not in fields:
        assert len(world.events()) == 1
    closed = Trail.temporary()
    closed.close()
    bud.configure(closed)
    note(**fields)
    assert world.logged(logging.ERROR)[-1].startswith("Failed to log audit event: ")


def test_secrets_are_masked_as_the_document_promises(world: World) -> None:
    names = (
        "password",
        "user_secret",
        "access_token",
        "api_key",
        "private_key",
        "credential",
        "credit_card",
        "ssn",
    )
    secrets = dict.fromkeys((*names, "pin"), "hunter2") | {"list": [{"password": "hunter2"}]}
    note(details=secrets, previous_state=secrets, new_state=secrets)
    (event,) = world.events()
    assert "hunter2" not in str(event)
    assert event["details"]["password"] == "***REDACTED***"


def test_a_patch_reaches_services_that_imported_the_name(world: World) -> None:
    with patch("trailseal.migrate.bud.log_audit") as mock:
        note(resource_id="m1")
        asyncio.run(awaited())
        assert mock.call_count == 2
        assert mock.call_args_list[0][1]["resource_id"] == "m1"
    with patch("trailseal.migrate.bud.log_audit_async") as mock:
        log_audit_async(session=None, action="create", resource_type=MODEL)
        mock.assert_called_once_with(session=None, action="create", resource_type=MODEL)
    assert world.events() == []
    # A replacement that calls what it replaced does not go round in a circle.
    with patch("trailseal.migrate.bud.log_audit", side_effect=log_audit) as mock:
        note(resource_id="m1")
        mock.assert_called_once()
    note()
    assert len(world.events()) == 2


async def awaited() -> None:
    await log_audit_async(session=None, action="create", resource_type=MODEL)


def test_the_async_form_records_called_awaited_and_in_the_background(world: World) -> None:
    log_audit_async(session=SessionUntouched(), action="create", resource_type=MODEL)
    asyncio.run(awaited())
    app = FastAPI()

    @app.post("/models")
    async def create(request: Request, tasks: BackgroundTasks) -> None:
        tasks.add_task(
            log_audit_async,
            session=SessionUntouched(),
            action=AuditActionEnum.MODEL_DEPLOYED,
            resource_type=MODEL,
            user_id=USER,
            request=request,
        )

    with world.serve(app) as client:
        client.post("/models", headers={"User-Agent": "ui"}).raise_for_status()
        world.wait_for(lambda: len(world.events()) == 3)
    assert world.events()[-1]["context"] == {"ip": "127.0.0.1", "user_agent": "ui"}


@pytest.mark.parametrize(
    ("trusted", "header", "ip"),
    [((), "203.0.113.7", "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.7", "203.0.113.7"),
     (("127.0.0.1",), "198.51.100.1, 203.0.113.7", "203.0.113.7"), (("127.0.0.1",), "x" * 5000, "127.0.0.1"),
     (("127.0.0.1",), "203.0.113.7, ?", "127.0.0.1")],
)  # fmt: skip
def test_no_client_chooses_its_address_or_keeps_its_record_out(
    world: World, trusted: tuple[str, ...], header: str, ip: str
) -> None:
    bud.configure(world.trail, trusted_proxies=trusted)
    app = FastAPI()

    @app.post("/login")
    def login(request: Request) -> None:
        note(AuditActionEnum.LOGIN_FAILED, request=request, user_id=None, details={"email": "ana@example.com"})

    with world.serve(app) as client:
        for _ in range(2):
            client.post("/login", headers={"X-Forwarded-For": header}).raise_for_status()
    assert [event["context"]["ip"] for event in world.events()] == [ip, ip]
    assert world.events()[0]["details"] == {"email": "ana@example.com"}
    told = [line for line in world.logged(logging.WARNING) if "X-Forwarded-For" in line]
    assert len(told) == (0 if trusted else 1)


def test_the_middleware_s_address_counts_if_there_is_one(world: World) -> None:
    app = FastAPI()
    app.add_middleware(AuditMiddleware, trail=world.trail, trusted_proxies=["127.0.0.1"], close=False)

    @app.post("/login")
    def login(request: Request, tasks: BackgroundTasks) -> None:
        note(AuditActionEnum.LOGIN, request=request)
        tasks.add_task(log_audit_async, None, AuditActionEnum.LOGIN, MODEL, request=request)
        note(AuditActionEnum.LOGIN)

    with world.serve(app) as client:
        client.post("/login", headers={"X-Forwarded-For": "203.0.113.7"}).raise_for_status()
        world.wait_for(lambda: len(world.events()) == 3)
    assert [event["context"]["ip"] for event in world.events()] == ["203.0.113.7"] * 3
    assert not world.logged(logging.WARNING)


def test_the_old_decorator(world: World) -> None:
    app = FastAPI()

    @app.put("/models/{model_id}")
    @audit_event(AuditActionEnum.UPDATE, MODEL, resource_id="model_id")
    async def update(model_id: UUID, request: Request, current_user_id: UUID = USER) -> str:
        if request.headers.get("x-fail"):
            raise ValueError("no such model")
        return "ok"

    @audit_event(AuditActionEnum.DELETE, MODEL, resource_id="id", details={"by": "job"})
    def delete(id: str) -> None:
        if id == "m9":
            raise KeyError(id)

    id = str(uuid4())
    with world.serve(app) as client:
        assert client.put(f"/models/{id}").json() == "ok"
        answer = client.put(f"/models/{id}", headers={"X-Fail": "1", "Connection": "close"})
        assert answer.status_code == 500
    delete("m1")
    with pytest.raises(KeyError):
        delete("m9")
    good, bad, deleted, missing = world.events()
    assert [event["outcome"] for event in (good, bad, deleted, missing)] == ["success", "failure"] * 2
    assert good["resource"] == {"type": "model", "id": id} and good["actor"]["id"] == str(USER)
    assert bad["error"] == "ValueError: no such model" and good["context"]["ip"] == "127.0.0.1"
    assert deleted["details"] == {"by": "job"} and missing["resource"]["id"] == "m9"


def test_search(world: World) -> None:
    first, second = uuid4(), uuid4()
    note(resource_id=first, resource_name="Llama 3")
    note(AuditActionEnum.UPDATE, resource_id=second, resource_name="Mistral", actioned_by=ADMIN)
    note(AuditActionEnum.DELETE, resource_type=AuditResourceTypeEnum.PROJECT, resource_id=second, user_id=ADMIN)
    service = AuditService(SessionUntouched())
    now = datetime.now(UTC)

    def found(**filters: Any) -> list[str]:
        entries, total = service.get_audit_records(**filters)
        assert total == len(entries)
        return [entry.action for entry in entries]

    assert found() == ["delete", "update", "create"]
    assert found(user_id=USER) == ["update", "create"]
    assert found(user_id=ADMIN) == ["delete"]
    assert found(actioned_by=ADMIN) == ["update"]
    assert found(user_id=USER, actioned_by=ADMIN) == ["update"]
    assert found(action=AuditActionEnum.CREATE) == ["create"]
    assert found(resource_type=AuditResourceTypeEnum.PROJECT) == ["delete"]
    assert found(resource_type=MODEL, resource_id=second) == ["update"]
    assert found(resource_id=second) == ["delete", "update"]
    assert found(resource_name="LLAMA") == ["create"]
    assert found(search="mist") == ["update"]
    assert found(start_date=now - timedelta(hours=1), end_date=now + timedelta(hours=1)) == found()
    assert found(end_date=now - timedelta(hours=1)) == []
    assert found(filter_params=AuditRecordFilter(user_id=USER, action="update")) == ["update"]
    entries, total = service.get_audit_records(offset=1, limit=1)
    assert ([entry.action for entry in entries], total) == (["update"], 3)
    (created,) = [entry for entry in service.iter_audit_records() if entry.action == "create"]
    end = service.get_audit_records(end_date=created.timestamp)[0]
    assert [entry.action for entry in end] == ["create"]
    summary = service.get_audit_summary()
    assert summary["total_records"] == 3 and summary["unique_users"] == 2
    assert summary["unique_resources_updated"] == 1 and summary["failure_events_count"] == 0
    assert summary["most_active_users"][0] == {"user_id": str(USER), "count": 2}
    assert summary["date_range"] == {"start": None, "end": None}
    with pytest.raises(TypeError):
        service.get_audit_records(page=1)


def test_the_service_records(world: World) -> None:
    service, id = AuditService(SessionUntouched()), uuid4()
    service.audit_create(MODEL, id, {"name": "llama"}, USER, ADMIN, "203.0.113.7", {"via": "ui"})
    updated = service.audit_update(MODEL, id, {"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}, USER)
    service.audit_delete(MODEL, id, {"name": "llama"}, USER)
    service.audit_access(MODEL, id, "read", False, USER, reason="role")
    service.audit_authentication(AuditActionEnum.LOGIN_FAILED, username="ana", success=False, reason="wrong")
    service.audit_workflow(id, "deploy", AuditActionEnum.WORKFLOW_FAILED, USER, error="boom")
    service.create_audit_record({"action": "data_export", "resource_type": "file", "user_id": USER})
    assert updated.details["changed_fields"] == ["b", "c"]
    created, changed, deleted, denied, login, workflow, export = world.events()
    assert (created["after"], created["context"]["ip"]) == ({"name": "llama"}, "203.0.113.7")
    assert created["details"] == {"operation": "create", "via": "ui"}
    assert set(changed["changes"]) == {"b", "c"} and deleted["before"] == {"name": "llama"}
    assert (denied["action"], denied["outcome"]) == ("access_denied", "denied")
    assert login["details"] == {"username": "ana", "reason": "wrong"} and login["outcome"] == "failure"
    assert workflow["error"] == "boom" and export["action"] == "data_export"


def test_csv(world: World) -> None:
    note(resource_name="=cmd|' /C calc'!A0", details={"note": 'a "quoted", b\nc', "n": 1}, previous_state={"x": 1})
    for number in range(1200):
        note(AuditActionEnum.READ, resource_id=number)
    app = FastAPI()

    @app.get("/audit/records.csv")
    def export() -> StreamingResponse:
        return StreamingResponse(AuditService().export_csv(), media_type="text/csv")

    with world.serve(app) as client:
        text = client.get("/audit/records.csv").text
    header, *rows = csv.reader(io.StringIO(text))
    assert (len(header), header[0], header[-1]) == (17, "ID", "Record Hash")
    assert len(rows) == 1201
    last = dict(zip(header, rows[-1], strict=True))
    assert last["Resource Name"].startswith("'=cmd") and '"n": 1' in last["Details"]
    assert (last["Previous State"], last["User ID"], last["New State"]) == ('{"x": 1}', str(USER), "")
    _, created = AuditService().export_csv(action="create", with_hashes=True)
    (row,) = csv.reader(io.StringIO(created))
    assert row[-1] == AuditService().get_audit_record_by_id(row[0]).record_hash  # type: ignore[union-attr]
    entries, _ = AuditService().get_audit_records(limit=2)
    assert len(generate_csv_from_audit_records(entries).splitlines()) == 3
    assert generate_export_filename().startswith("audit_export_20")


def test_one_record_is_verified_and_a_change_is_found(world: World) -> None:
    note(details={"amount": 1111})
    note(details={"amount": 3333})
    service = AuditService(SessionUntouched())
    entries, _ = service.get_audit_records()
    second, first = (entry.id for entry in entries)
    assert service.verify_audit_record_integrity(first)[0]
    assert service.find_tampered_records() == []
    found = service.get_audit_record_by_id(first)
    assert found is not None and len(found.record_hash or "") == 64
    assert service.get_audit_record_by_id(uuid4()) is None
    missing = uuid4()
    assert service.verify_audit_record_integrity(missing) == (False, f"Audit record with ID {missing} not found")
    change(world.trail, '"amount":1111', '"amount":2222')
    is_valid, message = service.verify_audit_record_integrity(first)
    assert not is_valid and message
    assert {id: ok for id, (ok, _) in service.verify_batch_integrity([first, second]).items()} == {
        first: False, second: True
    }  # fmt: skip
    (tampered,) = service.find_tampered_records(limit=1)
    assert (tampered["problem"], tampered["index"]) == ("edited", world.events()[0]["index"])
