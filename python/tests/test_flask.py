"""Flask and plain WSGI."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask, abort, request
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

import trailseal.flask
import trailseal.wsgi
from trailseal import Trail
from trailseal.context import current, set_actor
from trailseal.pytest import AssertAudited


def app_of(trail: Trail, **settings: Any) -> Flask:
    app = Flask(__name__)
    settings.setdefault("principal", lambda: request.headers.get("x-user"))
    trailseal.flask.install(app, trail, **settings)

    def note(place: str) -> None:
        trailseal.flask.trail().record("seen", details={"user": request.headers["x-user"], "place": place})

    @app.post("/invoices/<int:number>")
    def change(number: int) -> str:
        note("view")
        return "done"

    @app.post("/async/<int:number>")
    async def change_async(number: int) -> str:
        await asyncio.sleep(0)
        note("async view")
        return "done"

    @app.post("/late")
    def late() -> str:
        set_actor("later", tenant="acme")
        note("view")
        return "done"

    @app.get("/stream")
    def stream() -> Response:
        user = request.headers["x-user"]

        def chunks() -> Iterator[bytes]:
            for _ in range(3):
                trail.record("seen", details={"user": user, "place": "stream"})
                yield b"x"

        return Response(chunks())

    @app.post("/fails")
    def fails() -> str:
        raise RuntimeError("broken")

    @app.post("/denied")
    def denied() -> str:
        abort(403)

    return app


def client_of(app: Flask) -> FlaskClient:
    return app.test_client()


def test_no_event_has_the_context_of_another_request(audit_trail: Trail) -> None:
    app = app_of(audit_trail, record_mutations=True)

    def one(number: int) -> None:
        kind = number % 3
        headers = {"x-user": f"u{number}", "x-request-id": f"r{number}"}
        client = client_of(app)
        if kind == 0:
            assert client.post(f"/invoices/{number}", headers=headers).status_code == 200
        elif kind == 1:
            assert client.get("/stream", headers=headers).data == b"xxx"
        else:
            assert client.post("/fails", headers=headers).status_code == 500
        assert current() is None

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(240)))
    seen = list(audit_trail.query(order_by="recorded"))
    assert len(seen) == 80 * 2 + 80 * 3 + 80
    for event in seen:
        number = event["context"]["request_id"][1:]
        assert event["actor"]["id"] == f"u{number}"
        assert event["action"] == "http.post" or event["details"]["user"] == f"u{number}"


@pytest.mark.parametrize(
    ("path", "status", "outcome", "resource"),
    [
        ("/invoices/7", 200, "success", "route//invoices/<int:number>"),
        ("/fails", 500, "failure", "route//fails"),
        ("/denied", 403, "denied", "route//denied"),
        ("/nowhere", 404, "failure", "route//nowhere"),
    ],
)
def test_one_event_for_a_request_that_may_change_something(
    path: str, status: int, outcome: str, resource: str, audit_trail: Trail, assert_audited: AssertAudited
) -> None:
    app = app_of(audit_trail, record_mutations=True)
    assert client_of(app).post(path, headers={"x-user": "anna"}).status_code == status
    assert_audited(action="http.post", outcome=outcome, resource=resource, details__status=status, actor="anna")
    assert audit_trail.count(action="http.*") == 1


def test_a_handler_that_raises_past_the_framework_is_a_failure(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail, record_mutations=True)
    app.testing = True
    with pytest.raises(RuntimeError, match="broken"):
        client_of(app).post("/fails", headers={"x-user": "anna"})
    event = assert_audited(action="http.post", outcome="failure", actor="anna")
    assert event["error"] == "the handler failed without a response: RuntimeError"


def test_what_a_request_says_of_itself(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail, trusted_proxies=["127.0.0.0/8"], service="billing")
    headers = {
        "x-user": "anna",
        "user-agent": "tester",
        "x-forwarded-for": "6.6.6.6, 198.51.100.9",
        "x-request-id": "r1",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    assert client_of(app).post("/async/1", headers=headers).status_code == 200
    context = assert_audited(action="seen", actor="anna")["context"]
    assert context == {
        "ip": "198.51.100.9",
        "user_agent": "tester",
        "request_id": "r1",
        "correlation_id": "r1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "service": "billing",
    }


def test_an_authentication_may_say_it_later(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    app = app_of(audit_trail, record_mutations=True, principal=None)
    assert client_of(app).post("/late", headers={"x-user": "x"}).status_code == 200
    assert_audited(action="seen", actor="later", tenant="acme")
    assert_audited(action="http.post", actor="later", tenant="acme")


def test_without_a_trail_it_says_what_to_do() -> None:
    app = Flask(__name__)
    with app.app_context(), pytest.raises(RuntimeError, match=r"call trailseal\.flask\.install\(app\)"):
        trailseal.flask.trail()


def _posted(audit_trail: Trail, app: Any) -> Any:
    def start(status: str, headers: Any, *error: Any) -> Any:
        return lambda chunk: None

    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/generated", "REMOTE_ADDR": "192.0.2.1"}
    return trailseal.wsgi.AuditMiddleware(app, audit_trail, record_mutations=True)(environ, start)


def test_a_generator_that_fails_before_its_response_is_told(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        raise RuntimeError("s3cr3t")
        yield b""

    body = _posted(audit_trail, app)
    with pytest.raises(RuntimeError):
        next(iter(body))
    body.close()
    event = assert_audited(action="http.post", outcome="failure", details__path="/generated")
    assert event["error"].endswith("RuntimeError")
    assert audit_trail.count(action="http.post") == 1


def test_a_generator_that_is_never_asked_was_given_up(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        yield b"two"

    _posted(audit_trail, app).close()
    assert_audited(action="http.post", outcome="unknown", details__path="/generated")
    body = _posted(audit_trail, app)
    assert next(iter(body)) == b"one"
    body.close()
    assert_audited(action="http.post", outcome="success", details__status=200)
    assert audit_trail.count(action="http.post") == 2
