"""An application whose events say whose they should be."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx
from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse

import trailseal.fastapi
from trailseal import Trail
from trailseal.context import carry
from trailseal.fastapi import TrailDependency, acting


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
            await asyncio.Event().wait()
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


def ask(app: Any, method: str, path: str, host: str = "203.0.113.7", **more: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with client_of(app, host) as client:
            return await client.request(method, path, **more)

    return asyncio.run(asked())
