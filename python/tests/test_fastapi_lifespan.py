"""Opening and closing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

import trailseal.fastapi
from trailseal import CloseError, Trail
from trailseal.fastapi import TrailDependency


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
    with pytest.raises(ValueError, match="is not a network"):
        trailseal.fastapi.install(FastAPI(), audit_trail, trusted_proxies=["proxy"])


def test_a_close_that_fails_does_not_keep_the_mirrors_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    trail = Trail.temporary()
    given: list[float] = []

    async def fails(self: Trail, timeout: float = 10.0) -> None:
        raise CloseError("the disk is full")

    async def mirrored(of: Trail, timeout: float = 10.0) -> None:
        assert of is trail
        given.append(timeout)

    monkeypatch.setattr(Trail, "close_async", fails)
    monkeypatch.setattr(trailseal.fastapi, "mirrored", mirrored)
    app = FastAPI(lifespan=trailseal.fastapi.lifespan(trail, timeout=3.0))
    with pytest.raises(CloseError), TestClient(app):
        pass
    trail.close()
    [left] = given
    assert 0.0 <= left <= 3.0, "one deadline for both"
