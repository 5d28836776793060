"""FastAPI: whose context an event has."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from conftest import PATIENCE, PATIENT
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from fastapi_app import User, app_of, ask, client_of, events
from starlette.middleware.base import BaseHTTPMiddleware

import trailseal.fastapi
from trailseal import Trail
from trailseal.context import current, entered, set_actor
from trailseal.fastapi import TrailDependency, acting, audited, context_of
from trailseal.pytest import AssertAudited
from trailseal.testing import assert_audited as audited_in

SECONDS = float(os.environ.get("TRAILSEAL_SECONDS", "0"))


def test_no_event_has_the_context_of_another_request(audit_trail: Trail) -> None:
    app = app_of(audit_trail, record_mutations=True)
    methods = {
        "async": "POST",
        "sync": "POST",
        "fails": "POST",
        "slow": "POST",
        "stream": "GET",
        "sync-stream": "GET",
    }

    async def one(client: httpx.AsyncClient, number: int) -> None:
        kind = list(methods)[number % len(methods)]
        headers = {"x-user": f"u{number}", "x-request-id": f"r{number}"}
        request = asyncio.create_task(client.request(methods[kind], f"/{kind}/{number}", headers=headers))
        if kind == "slow":
            await asyncio.wait_for(app.state.begun[number].wait(), PATIENCE)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
        else:
            answer = await request
            assert answer.status_code == (500 if kind == "fails" else 200), answer.text

    async def all_at_once() -> None:
        async with client_of(app) as client:
            await asyncio.gather(*(one(client, number) for number in range(240)))
            assert current() is None, "a request's context was left behind"
            await asyncio.gather(*app.state.later)

    asyncio.run(all_at_once())
    places: Counter[str] = Counter()
    for event in events(audit_trail):
        number = event["context"]["request_id"][1:]
        assert event["actor"] == {"id": f"u{number}", "name": f"name of u{number}"}, event
        assert event["tenant"] == f"tenant of u{number}" and event["context"]["ip"] == "203.0.113.7"
        if event["action"] == "seen":
            assert event["details"]["user"] == f"u{number}", event
            places[event["details"]["place"]] += 1
        else:
            assert event["action"] == "http.post" and event["details"]["path"].endswith(f"/{number}")
            places[f"{event['resource']['id']} {event['outcome']}"] += 1
    each = 240 // 6
    of_async = (
        "endpoint",
        "after an await",
        "to_thread",
        "executor",
        "task that outlives the request",
        "async background task",
        "sync background task",
    )
    assert places == {
        **dict.fromkeys(of_async, each),
        "thread pool": each,
        "failing handler": each,
        "handler of Exception": each,
        "cancelled handler": each,
        "stream": 3 * each,
        "sync stream": 3 * each,
        "/async/{number} success": each,
        "/sync/{number} success": each,
        "/fails/{number} failure": each,
        "/slow/{number} unknown": each,
    }


def test_what_a_request_says_of_itself(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail, trusted_proxies=["10.0.0.0/8"], service="billing")
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {
        "x-user": "anna",
        "user-agent": "tester/1.0 ü",
        "x-forwarded-for": "6.6.6.6, 198.51.100.9, 10.0.0.2",
        "x-correlation-id": "c1",
        "traceparent": f"00-{trace}-{span}-01",
    }
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert ask(app, "POST", "/sync/1", host="10.0.0.1", headers=encoded).status_code == 200
    context = assert_audited(action="seen", actor="anna")["context"]
    assert context.pop("request_id")[14] == "7"
    assert context == {
        "ip": "198.51.100.9",
        "user_agent": "tester/1.0 ü",
        "correlation_id": "c1",
        "trace_id": trace,
        "span_id": span,
        "service": "billing",
    }


def test_a_hostile_client_is_recorded_and_answered(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail, trusted_proxies=["10.0.0.0/8"], record_mutations=True)
    headers = [
        (b"x-user", b"mallory"),
        (b"user-agent", b"\xff\xfe" + b"A" * 200_000),
        (b"x-request-id", b"x" * 100_000),
        (b"x-forwarded-for", b"\x00, ,,%s%n"),
        (b"traceparent", b"00-\xff"),
    ]
    assert ask(app, "POST", "/sync/1", host="10.0.0.1", headers=headers).status_code == 200
    event = assert_audited(action="seen", actor="mallory")
    assert event["context"]["ip"] == "10.0.0.1"
    assert_audited(action="http.post", resource="route//sync/{number}", outcome="success")


@pytest.mark.parametrize(
    ("path", "headers", "status", "outcome", "resource"),
    [
        ("/sync/1", {"x-user": "anna"}, 200, "success", "route//sync/{number}"),
        ("/sync/1", {}, 401, "denied", "route//sync/{number}"),
        ("/sync/none", {"x-user": "anna"}, 422, "failure", "route//sync/{number}"),
        ("/nowhere", {}, 404, "failure", "route//nowhere"),
        ("/fails/1", {"x-user": "anna"}, 500, "failure", "route//fails/{number}"),
    ],
)
def test_one_event_for_a_request_that_may_change_something(
    path: str,
    headers: dict[str, str],
    status: int,
    outcome: str,
    resource: str,
    audit_trail: Trail,
    assert_audited: AssertAudited,
) -> None:
    app = app_of(audit_trail, record_mutations=True)
    assert ask(app, "POST", path, headers=headers).status_code == status
    event = assert_audited(action="http.post", outcome=outcome, resource=resource, details__status=status)
    assert event["details"]["path"] == path and event["duration_ms"] >= 0 and "secret" not in str(event)
    assert ask(app, "GET", "/openapi.json").status_code == 200
    assert audit_trail.count(action="http.*") == 1


def test_the_event_is_recorded_before_the_response_leaves() -> None:
    trail = Trail.temporary(mode="sync", **PATIENT)
    app = app_of(trail, record_mutations=True)
    order: list[str] = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                order.append(f"{trail.count(action='http.post')} recorded")
            await send(message)

        await app(scope, receive, noted)

    assert ask(noting, "POST", "/sync/1", headers={"x-user": "anna"}).status_code == 200
    assert order == ["1 recorded"]
    trail.close()


def test_a_trail_that_refuses_does_not_change_the_answer(audit_trail: Trail, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    trailseal.fastapi.install(app, audit_trail, record_mutations=True)

    @app.post("/")
    async def answer() -> str:
        return "done"

    audit_trail.close()
    assert ask(app, "POST", "/").json() == "done"
    assert "was not recorded as its policy asks" in caplog.text


def test_websockets_have_a_context(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail, close=False)

    @app.websocket("/ws")
    async def talk(websocket: WebSocket, trail: TrailDependency) -> None:
        await websocket.accept()
        set_actor(await websocket.receive_text())
        trail.record("socket.used")
        await asyncio.to_thread(trail.record, "socket.used.in.thread")
        await websocket.send_text("done")
        await websocket.close()

    with TestClient(app) as client, client.websocket_connect("/ws", headers={"x-request-id": "w1"}) as socket:
        socket.send_text("anna")
        assert socket.receive_text() == "done"
    assert_audited(action="socket.used", actor="anna", context__request_id="w1")
    assert_audited(action="socket.used.in.thread", actor="anna", context__request_id="w1")


def test_behind_a_middleware_of_the_other_kind_and_around_it(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail, record_mutations=True)

    async def dispatch(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        audit_trail.record("before")
        answer = await call_next(request)
        audit_trail.record("after")
        return answer

    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    assert ask(app, "POST", "/sync/1", headers={"x-user": "anna", "x-request-id": "r1"}).status_code == 200
    assert_audited(action="before", actor=None, context__request_id="r1")
    assert_audited(action="after", actor="anna", context__request_id="r1")
    assert_audited(action="http.post", actor="anna", context__request_id="r1")


def test_added_by_hand_it_sees_what_middleware_in_front_found_out(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = FastAPI()

    async def authenticating(scope: Any, receive: Any, send: Any) -> None:
        await audited_app(dict(scope, user="anna", tenant="acme"), receive, send)

    @app.post("/")
    async def answer() -> None:
        audit_trail.record("seen")

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        with entered(context_of(request)):
            audit_trail.record("told")
        return JSONResponse({}, 500)

    @app.post("/fails")
    async def fails() -> None:
        raise RuntimeError

    audited_app = trailseal.fastapi.AuditMiddleware(
        app, audit_trail, principal=lambda scope: scope["user"], tenant=lambda scope: scope["tenant"]
    )
    assert ask(authenticating, "POST", "/").status_code == 200
    assert_audited(action="seen", actor="anna", tenant="acme")

    inner = FastAPI()
    inner.add_middleware(trailseal.fastapi.AuditMiddleware, trail=audit_trail)
    inner.add_exception_handler(Exception, unexpected)
    inner.add_api_route("/fails", fails, methods=["POST"])
    assert ask(inner, "POST", "/fails", headers={"x-request-id": "r9"}).status_code == 500
    assert_audited(action="told", context__request_id="r9")


def test_a_mounted_application_has_the_context_of_the_whole(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    inner = app_of(audit_trail, record_mutations=True)
    outer = FastAPI()
    outer.mount("/inner", inner)
    trailseal.fastapi.install(outer, audit_trail, record_mutations=True)
    assert ask(outer, "POST", "/inner/sync/1", headers={"x-user": "anna", "x-request-id": "r1"}).status_code == 200
    assert audit_trail.count(action="http.post") == 1
    assert_audited(action="http.post", details__path="/inner/sync/1", actor="anna")


def test_the_route_of_an_included_router_has_its_prefix(audit_trail: Trail) -> None:
    inner, outer, app = APIRouter(prefix="/invoices"), APIRouter(prefix="/v1"), FastAPI()

    @inner.post("/{number}")
    async def approve(number: int) -> None: ...

    outer.include_router(inner, prefix="/audited")
    app.include_router(outer, prefix="/api")
    app.include_router(inner)
    trailseal.fastapi.install(app, audit_trail, record_mutations=True)
    for path in ("/api/v1/audited/invoices/1", "/invoices/2"):
        assert ask(app, "POST", path).status_code == 200
    found = [event["resource"]["id"] for event in audit_trail.query(order="asc")]
    assert found == ["/api/v1/audited/invoices/{number}", "/invoices/{number}"]


def test_audited_tells_what_became_of_a_route(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail)

    @app.post(
        "/invoices/{number:path}/approve",
        dependencies=[audited("invoice.approve", resource="invoice/{number}", category="workflow")],
    )
    async def approve(number: str, user: User, how: str = "ok") -> str:
        if how == "denied":
            raise HTTPException(403, "not yours, s3cr3t")
        if how == "fails":
            raise RuntimeError("broken by s3cr3t")
        return "approved"

    headers = {"x-user": "anna"}
    assert ask(app, "POST", "/invoices/a/42/approve", headers=headers).json() == "approved"
    assert_audited(action="invoice.approve", resource="invoice/a/42", outcome="success", category="workflow")
    assert ask(app, "POST", "/invoices/43/approve?how=denied", headers=headers).status_code == 403
    denied = assert_audited(action="invoice.approve", resource="invoice/43", outcome="denied", actor="anna")
    assert denied["error"] == "HTTPException: 403"
    assert ask(app, "POST", "/invoices/44/approve?how=fails", headers=headers).status_code == 500
    failed = assert_audited(action="invoice.approve", resource="invoice/44", outcome="failure", actor="anna")
    assert failed["error"] == "RuntimeError"
    assert not any("s3cr3t" in str(event) for event in audit_trail.query())


def test_a_status_that_the_route_sets_is_its_outcome(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail)

    @app.post("/statuses/{status}", dependencies=[audited("status.set", resource="status/{status}")])
    async def set_status(status: int, response: Response) -> None:
        response.status_code = status

    for status, outcome in ((201, "success"), (403, "denied"), (409, "failure")):
        assert ask(app, "POST", f"/statuses/{status}").status_code == status
        assert_audited(action="status.set", resource=f"status/{status}", outcome=outcome)
    with pytest.raises(TypeError, match="resource is a pattern"):
        audited("status.set", resource=("status", 1))  # type: ignore[arg-type]


def test_the_status_of_a_returned_response_is_the_outcome(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail)

    async def ends_at_once(scope: Any, receive: Any, send: Any) -> None:
        raise ConnectionError

    @app.api_route("/answers/{status}", methods=["GET", "POST"], dependencies=[audited("asked", resource="status/{status}")])
    async def answer(status: int) -> Response:
        if status == 0:
            gone = Response()
            gone.__class__ = type("Gone", (Response,), {"__call__": staticmethod(ends_at_once)})
            return gone
        return Response(status_code=status)

    for status, outcome in ((200, "success"), (401, "denied"), (404, "failure"), (503, "failure")):
        for method in ("GET", "POST"):
            assert ask(app, method, f"/answers/{status}", headers={"x-request-id": method}).status_code == status
            audit_trail.flush()
        found = list(audit_trail.query(action="asked", resource=f"status/{status}"))
        sent = [(event["outcome"], event["context"]["request_id"]) for event in found]
        assert sorted(sent) == [(outcome, "GET"), (outcome, "POST")]
    ask(app, "GET", "/answers/0")
    audit_trail.flush()
    told = assert_audited(action="asked", resource="status/0", outcome="unknown")
    assert told["error"] == "the request was given up"


@pytest.mark.parametrize("user", ["u1", 7, UUID(int=7)])
def test_a_user_may_be_just_an_id(audit_trail: Trail, assert_audited: AssertAudited, user: Any) -> None:
    app = FastAPI()
    trailseal.fastapi.install(app, audit_trail, close=False)

    @app.post("/approve", dependencies=[Depends(acting(lambda: user))])
    async def approve(trail: TrailDependency) -> None:
        trail.record("approve")

    assert ask(app, "POST", "/approve").status_code == 200
    assert_audited(action="approve", actor=str(user))


def test_threads_tasks_and_background_tasks_at_once(audit_trail: Trail) -> None:
    """Threads of the application's own record beside the requests, each in its own context or none. Once through, or for
    as long as TRAILSEAL_SECONDS says."""
    app = app_of(audit_trail)
    stop = threading.Event()
    recorded = Counter[str]()
    until, passes = time.monotonic() + SECONDS, 0

    def beside(name: str) -> None:
        with entered(trailseal.RequestContext(actor=name, context={"request_id": name})):
            while not stop.is_set():
                audit_trail.record("beside", details={"user": name})
                recorded[name] += 1
                # They go on for as long as the requests take, which must not become longer by what they record.
                stop.wait(0.001)

    threads = [threading.Thread(target=beside, args=(f"thread-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()

    async def requests() -> None:
        nonlocal passes
        async with client_of(app) as client:
            while passes == 0 or time.monotonic() < until:
                for start in range(0, 200, 50):
                    kinds = ("async", "sync")
                    await asyncio.gather(
                        *(
                            client.post(f"/{kinds[number % 2]}/{number}", headers={"x-user": f"u{number}"})
                            for number in range(start, start + 50)
                        )
                    )
                passes += 1
            await asyncio.gather(*app.state.later)

    try:
        asyncio.run(requests())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    seen = Counter[str]()
    for event in audit_trail.query(order_by="recorded"):
        assert event["actor"]["id"] == event["details"]["user"]
        seen[event["actor"]["id"]] += 1
    assert {name: seen[name] for name in recorded} == dict(recorded)
    assert seen["u0"] == 7 * passes and seen["u1"] == passes
    audited_in(audit_trail, action="seen", actor="u199")
