"""Reading an audit trail inside an application."""

from __future__ import annotations

from typing import Annotated, Any

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


def test_the_reference_has_the_filters(readable: FastAPI) -> None:
    parameters = readable.openapi()["paths"]["/audit/events"]["get"]["parameters"]
    names = {parameter["name"] for parameter in parameters}
    assert {"tenant", "actor", "since", "cursor", "limit", "count"} <= names
