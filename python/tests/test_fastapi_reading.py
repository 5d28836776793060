"""Reading an audit trail inside an application."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Header, HTTPException
from fastapi_app import ask, get_user

import trailseal.fastapi
from trailseal import Trail
from trailseal.fastapi import acting, audit_router


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
    audit_trail.record("invoice.update", id="e2", tenant="tenant of anna", resource="invoice/a/1", outcome="denied")
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


@pytest.mark.parametrize("tenant", [UUID(int=5), 5, "5"])
def test_a_tenant_may_be_what_record_takes(audit_trail: Trail, tenant: Any) -> None:
    app = FastAPI()
    trailseal.fastapi.install(app, audit_trail, close=False)
    app.include_router(audit_router(acting(get_user), tenant=lambda user: tenant))
    audit_trail.record("invoice.create", id="mine", tenant=tenant)
    audit_trail.record("invoice.create", id="other", tenant="6")
    assert ids(read(app, "/audit/events", "anna")) == ["mine"]


@pytest.mark.parametrize("tenant", [None, "", False, True, [], ["a"], {"id": 5}, object()], ids=str)
def test_what_is_no_tenant_shows_nothing(audit_trail: Trail, tenant: Any) -> None:
    app = FastAPI()
    trailseal.fastapi.install(app, audit_trail, close=False)
    app.include_router(audit_router(acting(get_user), tenant=lambda user: tenant))
    audit_trail.record("invoice.create", tenant="acme")
    assert read(app, "/audit/events", "anna").status_code == 403


def test_the_reference_has_the_filters(readable: FastAPI) -> None:
    parameters = readable.openapi()["paths"]["/audit/events"]["get"]["parameters"]
    names = {parameter["name"] for parameter in parameters}
    assert {"tenant", "actor", "since", "cursor", "limit", "count"} <= names


def test_a_read_says_who_reads(readable: FastAPI, audit_trail: Trail) -> None:
    # That of the dependency, though the request has no actor.
    assert read(readable, "/audit/events").status_code == 200
    # What `acting` said.
    assert read(readable, "/mine/events/e1", "anna").status_code == 200
    assert read(readable, "/mine/summary", None).status_code == 401
    events = list(audit_trail.query(system=True, action="trail.read", order="asc", order_by="recorded"))
    assert [event["actor"] for event in events[:2]] == [{"id": "root"}, {"id": "anna"}]
    assert events[0]["details"]["what"] == "query" and events[0]["details"]["by"] == "library"
    assert events[0]["context"]["request_id"] and events[0]["context"]["ip"]
    # Outside of a request nobody is named.
    assert "actor" not in list(audit_trail.query(system=True, action="trail.read", order="asc", order_by="recorded"))[-1]


class User:
    def __init__(self, id: object) -> None:
        self.id, self.name, self.email, self.password = id, "Anna", "anna@example.com", "hunter2"


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("anna", {"id": "anna"}),
        (7, {"id": "7"}),
        (User(UUID(int=1)), {"id": str(UUID(int=1)), "name": "Anna", "email": "anna@example.com"}),
        (User(object()), None),
        ({"sub": "u1", "email": "a@example.com", "scope": "secret"}, {"id": "u1", "email": "a@example.com"}),
        ({"scope": "secret"}, None),
        (None, None),
        (True, None),
    ],
)
def test_who_reads_by_what_the_dependency_returned(audit_trail: Trail, who: Any, expected: Any) -> None:
    app = FastAPI()
    app.include_router(audit_router(lambda: who, trail=audit_trail))
    app.include_router(audit_router(lambda: who, trail=audit_trail, prefix="/told", actor=lambda user: {"id": "told"}))
    assert read(app, "/audit/events").status_code == 200
    assert read(app, "/told/events").status_code == 200
    events = list(audit_trail.query(system=True, action="trail.read", order="asc", order_by="recorded"))
    masked = expected if expected is None or "email" not in expected else {**expected, "email": events[0]["actor"]["email"]}
    assert events[0].get("actor") == masked
    assert events[1]["actor"] == {"id": "told"}
    assert "hunter2" not in str(events) and "secret" not in str(events)
