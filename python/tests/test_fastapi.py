"""FastAPI: whose context an event has."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, Request, Response, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware

import trailseal.fastapi
from trailseal import Trail
from trailseal.context import carry, current, entered, set_actor
from trailseal.fastapi import TrailDependency, acting, audit_router, audited, context_of
from trailseal.pytest import AssertAudited
from trailseal.testing import assert_audited as audited_in


def get_user(x_user: Annotated[str | None, Header()] = None) -> dict[str, Any]:
    # Not async: it runs in a thread, whose context is a copy.
    if x_user is None:
        raise HTTPException(401, "who are you?")
    return {"id": x_user, "name": f"name of {x_user}", "tenant": f"tenant of {x_user}"}


User = Annotated[dict[str, Any], Depends(acting(get_user, name="name", tenant="tenant"))]


def app_of(trail: Trail, **settings: Any) -> FastAPI:
    app = FastAPI()
    trailseal.fastapi.install(app, trail, **settings)
    later: set[asyncio.Task[None]] = set()
    app.state.later = later
    app.state.begun = defaultdict(asyncio.Event)

    @app.post("/async/{number}")
    async def in_loop(number: int, user: User, trail: TrailDependency, background: BackgroundTasks) -> None:
        def note(place: str) -> None:
            trail.record("seen", details={"user": user["id"], "place": place})

        async def outlives() -> None:
            await asyncio.sleep(0.01)
            note("task that outlives the request")

        async def in_background() -> None:
            await asyncio.sleep(0)
            note("async background task")

        note("endpoint")
        await asyncio.sleep(0)
        await trail.record_async("seen", details={"user": user["id"], "place": "after an await"})
        await asyncio.to_thread(note, "to_thread")
        await asyncio.get_running_loop().run_in_executor(None, carry(note), "executor")
        task = asyncio.create_task(outlives())
        later.add(task)
        background.add_task(in_background)
        background.add_task(note, "sync background task")

    @app.post("/sync/{number}")
    def in_thread(number: int, user: User, trail: TrailDependency) -> None:
        trail.record("seen", details={"user": user["id"], "place": "thread pool"})

    @app.post("/fails/{number}")
    async def fails(number: int, user: User, trail: TrailDependency) -> None:
        trail.record("seen", details={"user": user["id"], "place": "failing handler"})
        raise RuntimeError(f"the secret of {user['id']}")

    @app.post("/slow/{number}")
    async def slow(number: int, user: User, trail: TrailDependency) -> None:
        app.state.begun[number].set()
        try:
            await asyncio.sleep(30)
        finally:
            trail.record("seen", details={"user": user["id"], "place": "cancelled handler"})

    @app.get("/stream/{number}")
    async def stream(number: int, user: User, trail: TrailDependency) -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(3):
                await asyncio.sleep(0)
                trail.record("seen", details={"user": user["id"], "place": "stream"})
                yield b"x"

        return StreamingResponse(chunks())

    @app.get("/sync-stream/{number}")
    def sync_stream(number: int, user: User, trail: TrailDependency) -> StreamingResponse:
        def chunks() -> Iterator[bytes]:
            for _ in range(3):
                trail.record("seen", details={"user": user["id"], "place": "sync stream"})
                yield b"x"

        return StreamingResponse(chunks())

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        trail.record("seen", details={"user": request.headers["x-user"], "place": "handler of Exception"})
        return JSONResponse({"detail": "failed"}, 500)

    return app


def client_of(app: Any, host: str = "203.0.113.7") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(host, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def events(trail: Trail) -> list[dict[str, Any]]:
    return list(reversed(list(trail.query(order_by="recorded"))))


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
            await asyncio.wait_for(app.state.begun[number].wait(), 60)
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


def ask(app: Any, method: str, path: str, host: str = "203.0.113.7", **more: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with client_of(app, host) as client:
            return await client.request(method, path, **more)

    return asyncio.run(asked())


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
    trail = Trail.temporary(mode="sync")
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


def test_a_trail_that_refuses_does_not_change_the_answer(
    audit_trail: Trail, caplog: pytest.LogCaptureFixture
) -> None:
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


def test_behind_a_middleware_of_the_other_kind_and_around_it(
    audit_trail: Trail, assert_audited: AssertAudited
) -> None:
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


def test_added_by_hand_it_sees_what_middleware_in_front_found_out(
    audit_trail: Trail, assert_audited: AssertAudited
) -> None:
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


def test_a_mounted_application_has_the_context_of_the_whole(
    audit_trail: Trail, assert_audited: AssertAudited
) -> None:
    inner = app_of(audit_trail, record_mutations=True)
    outer = FastAPI()
    outer.mount("/inner", inner)
    trailseal.fastapi.install(outer, audit_trail, record_mutations=True)
    assert ask(outer, "POST", "/inner/sync/1", headers={"x-user": "anna", "x-request-id": "r1"}).status_code == 200
    assert audit_trail.count(action="http.post") == 1
    assert_audited(action="http.post", details__path="/inner/sync/1", actor="anna")


def test_audited_tells_what_became_of_a_route(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail)

    @app.post(
        "/invoices/{number:path}/approve",
        dependencies=[audited("invoice.approve", resource="invoice/{number}", category="workflow")],
    )
    async def approve(number: str, user: User, how: str = "ok") -> str:
        if how == "denied":
            raise HTTPException(403, "not yours")
        if how == "fails":
            raise RuntimeError("broken")
        return "approved"

    headers = {"x-user": "anna"}
    assert ask(app, "POST", "/invoices/a/42/approve", headers=headers).json() == "approved"
    assert_audited(action="invoice.approve", resource="invoice/a/42", outcome="success", category="workflow")
    assert ask(app, "POST", "/invoices/43/approve?how=denied", headers=headers).status_code == 403
    assert_audited(action="invoice.approve", resource="invoice/43", outcome="denied", actor="anna")
    assert ask(app, "POST", "/invoices/44/approve?how=fails", headers=headers).status_code == 500
    assert_audited(action="invoice.approve", resource="invoice/44", outcome="failure", actor="anna")


# Opening and closing.


def test_the_lifespan_closes_the_trail_and_ends_the_applications_own_first() -> None:
    trail = Trail.temporary()
    order: list[str] = []

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        yield
        trail.record("last.words")
        order.append("own")

    app = FastAPI(lifespan=own)
    trailseal.fastapi.install(app, trail)
    with TestClient(app):
        assert not trail.is_closed
    assert order == ["own"] and trail.is_closed


def test_an_application_without_a_lifespan_is_closed_too() -> None:
    trail = Trail.temporary()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    with TestClient(trailseal.fastapi.AuditMiddleware(app, trail)):
        assert not trail.is_closed
    assert trail.is_closed


def test_a_lifespan_that_fails_still_fails() -> None:
    trail = Trail.temporary()

    @contextlib.asynccontextmanager
    async def broken(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    app = FastAPI(lifespan=broken)
    trailseal.fastapi.install(app, trail)
    with pytest.raises(RuntimeError, match="no database"), TestClient(app):
        pass
    trail.close()


def test_the_lifespan_helper_opens_and_closes(tmp_path: Any) -> None:
    ended: list[str] = []

    @contextlib.asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"mine": "kept"}
        ended.append("own")

    app = FastAPI(lifespan=trailseal.fastapi.lifespan(tmp_path / "trail", own))
    seen: list[Trail] = []

    @app.post("/")
    async def answer(trail: TrailDependency, request: Request) -> str:
        trail.record("seen")
        seen.append(trail)
        return str(request.state.mine)

    for _ in range(2):
        with TestClient(app) as client:
            assert client.post("/").json() == "kept"
        assert seen[-1].is_closed
    assert ended == ["own", "own"]


def test_without_a_trail_it_says_what_to_do(audit_trail: Trail) -> None:
    app = FastAPI()

    @app.get("/")
    async def answer(trail: TrailDependency) -> None: ...

    with pytest.raises(RuntimeError, match=r"call trailseal\.fastapi\.install\(app\)"):
        TestClient(app).get("/")
    with pytest.raises(RuntimeError, match="the application has started"):
        trailseal.fastapi.install(app, audit_trail)
    with pytest.raises(ValueError, match="is no network"):
        trailseal.fastapi.install(FastAPI(), audit_trail, trusted_proxies=["proxy"])


# Reading.


@pytest.fixture
def readable(audit_trail: Trail) -> FastAPI:
    app = FastAPI()
    trailseal.fastapi.install(app, audit_trail, close=False)

    async def admin(x_user: Annotated[str | None, Header()] = None) -> str:
        if x_user != "root":
            raise HTTPException(403, "administrators only")
        return x_user

    def tenant(user: dict[str, Any]) -> str | None:
        return None if user["id"] == "nobody" else str(user["tenant"])

    app.include_router(audit_router(admin))
    app.include_router(audit_router(acting(get_user), tenant=tenant, prefix="/mine"))
    audit_trail.record("invoice.create", id="e1", tenant="tenant of anna", resource="invoice/a/1", actor="anna")
    audit_trail.record(
        "invoice.update", id="e2", tenant="tenant of anna", resource="invoice/a/1", outcome="denied"
    )
    audit_trail.record("invoice.create", id="e3", tenant="tenant of ben", resource="invoice/b")
    return app


def read(app: FastAPI, path: str, user: str | None = "root") -> httpx.Response:
    return ask(app, "GET", path, headers={} if user is None else {"x-user": user})


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [event["id"] for event in answer.json()["events"]]


def test_read_endpoints_have_the_filters_and_answers_of_the_server(readable: FastAPI) -> None:
    body = read(readable, "/audit/events?order_by=recorded").json()
    assert list(body) == ["events", "next", "lag"] and body["next"] is None
    assert [event["id"] for event in body["events"]] == ["e3", "e2", "e1"]
    assert next(iter(body["events"][0])) == "origin"
    assert ids(read(readable, "/audit/events?action=invoice.c*&order=asc&order_by=recorded")) == ["e1", "e3"]
    assert ids(read(readable, "/audit/events?outcome=denied&outcome=failure")) == ["e2"]
    assert ids(read(readable, "/audit/events?id=e1")) == ["e1"]
    assert read(readable, "/audit/events?count=true&tenant=tenant of anna").json() == {"count": 2}
    first = read(readable, "/audit/events?limit=2&order_by=recorded").json()
    assert [event["id"] for event in first["events"]] == ["e3", "e2"]
    assert ids(read(readable, f"/audit/events?limit=2&order_by=recorded&cursor={first['next']}")) == ["e1"]
    assert read(readable, "/audit/events/e1").json()["action"] == "invoice.create"
    assert ids(read(readable, "/audit/resources/invoice/a/1/history")) == ["e1", "e2"]
    assert read(readable, "/audit/summary").status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=1001", "limit"),
        ("limit=1&limit=2", "limit"),
        ("order=up", "order"),
        ("acton=x", "acton"),
        ("outcome=maybe", None),
        ("since=yesterdayish", None),
        ("cursor=made-up", None),
        ("count=yes", "count"),
        ("&".join(["actor=x"] * 201), None),
    ],
)
def test_a_bad_query_is_a_problem_that_says_so(readable: FastAPI, query: str, field: str | None) -> None:
    answer = read(readable, f"/audit/events?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["type"], body["status"]) == ("urn:trailseal:problem:query", 400) and body["detail"]
    assert field is None or body["field"] == field


def test_nobody_reads_past_the_dependency(readable: FastAPI) -> None:
    paths = ["/events", "/events/e1", "/resources/invoice/b/history", "/summary"]
    for path in paths:
        assert read(readable, f"/audit{path}", "anna").status_code == 403
        assert read(readable, f"/mine{path}", None).status_code == 401
        assert read(readable, f"/mine{path}", "nobody").status_code == 403


def test_a_tenant_sees_its_own_events_alone(readable: FastAPI) -> None:
    assert sorted(ids(read(readable, "/mine/events", "anna"))) == ["e1", "e2"]
    assert ids(read(readable, "/mine/events?system=true", "ben")) == ["e3"]
    assert ids(read(readable, "/mine/resources/invoice/b/history", "anna")) == []
    assert read(readable, "/mine/events?tenant=tenant of ben", "anna").status_code == 403
    assert read(readable, "/mine/events?count=true", "ben").json() == {"count": 1}
    assert read(readable, "/mine/events/e3", "anna").status_code == 404
    assert read(readable, "/mine/events/e3?tenant=tenant of ben", "anna").status_code == 404
    missing = read(readable, "/mine/events/none", "anna").json()
    hidden = read(readable, "/mine/events/e3", "anna").json()
    assert {**missing, "detail": ""} == {**hidden, "detail": ""}
    assert "tenant of ben" not in read(readable, "/mine/summary", "anna").text


def test_the_reference_has_the_filters(readable: FastAPI) -> None:
    parameters = readable.openapi()["paths"]["/audit/events"]["get"]["parameters"]
    names = {parameter["name"] for parameter in parameters}
    assert {"tenant", "actor", "since", "cursor", "limit", "count"} <= names


def test_threads_tasks_and_background_tasks_at_once(audit_trail: Trail) -> None:
    """Threads of the application's own record beside the requests, each in its own context or none."""
    app = app_of(audit_trail)
    stop = threading.Event()
    recorded = Counter[str]()

    def beside(name: str) -> None:
        with entered(trailseal.RequestContext(actor=name, context={"request_id": name})):
            while not stop.is_set():
                audit_trail.record("beside", details={"user": name})
                recorded[name] += 1

    threads = [threading.Thread(target=beside, args=(f"thread-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()

    async def requests() -> None:
        async with client_of(app) as client:
            for start in range(0, 200, 50):
                kinds = ("async", "sync")
                await asyncio.gather(
                    *(
                        client.post(f"/{kinds[number % 2]}/{number}", headers={"x-user": f"u{number}"})
                        for number in range(start, start + 50)
                    )
                )
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
    assert seen["u0"] == 7 and seen["u1"] == 1
    audited_in(audit_trail, action="seen", actor="u199")
