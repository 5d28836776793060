"""Closing a trail when an ASGI server shuts down."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from . import Trail

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Frameworks name these types each in its own way.
App = Callable[[Any, Any, Any], Awaitable[None]]

_log = logging.getLogger("trailseal")
_ENDS = ("lifespan.shutdown.complete", "lifespan.shutdown.failed")


async def closing(app: App, trail: Callable[[], Trail], scope: Scope, receive: Receive, send: Send) -> None:
    """Hands a lifespan to the application, and closes the trail when that has ended."""
    used = False

    async def receive_watched() -> Message:
        nonlocal used
        used = True
        return await receive()

    async def send_closing(message: Message) -> None:
        if message["type"] in _ENDS:
            await _close(trail())
        await send(message)

    try:
        await app(scope, receive_watched, send_closing)
    except Exception:
        if used:
            raise
        # The application knows no lifespan, but the trail still has to be closed.
        await _alone(trail, receive, send)


async def _alone(trail: Callable[[], Trail], receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await _close(trail())
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _close(trail: Trail) -> None:
    try:
        await trail.close_async()
    except Exception:
        # The server must end; the folder keeps what is not done, and the next opening recovers it.
        _log.exception("the audit trail was not closed in time")
    await mirrored(trail)


async def mirrored(trail: Trail, timeout: float | None = None) -> None:
    """Waits for the trail's mirrors, if there are any: a server may end its process by a signal."""
    mirrors = sys.modules.get("trailseal.logging")
    if mirrors is not None:
        await asyncio.to_thread(mirrors.finish, trail, timeout)
