"""What a block of a document runs in: a trail of its own, a real server, and the log."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from conftest import PATIENCE, SLOW_DISK

from trailseal import Trail

SECONDS_MAX = PATIENCE


@dataclass
class World:
    """A trail, and the means to look at what happened."""

    trail: Trail
    caplog: Any

    def events(self, **filters: Any) -> list[dict[str, Any]]:
        """What was recorded, the oldest first."""
        return list(self.trail.query(order="asc", order_by="recorded", **filters))

    def actions(self, **filters: Any) -> list[str]:
        return [event["action"] for event in self.events(**filters)]

    def logged(self, level: int = logging.INFO) -> list[str]:
        """The messages of the log, from this level up, but for a word on a disk that is slow."""
        messages = [record.getMessage() for record in self.caplog.records if record.levelno >= level]
        return [message for message in messages if not message.endswith(SLOW_DISK)]

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Until the condition holds; fails if it never does."""
        deadline = time.monotonic() + SECONDS_MAX
        while not condition():
            assert time.monotonic() < deadline, "the condition was never met"
            time.sleep(0.01)

    @contextlib.contextmanager
    def serve(self, app: Any) -> Iterator[httpx.Client]:
        """The application behind a real server, and a client of it."""
        # uvicorn itself would believe the X-Forwarded-For of its own machine.
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="on", proxy_headers=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            self.wait_for(lambda: server.started or not thread.is_alive())
            assert server.started, "the application did not start"
            port = server.servers[0].sockets[0].getsockname()[1]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS_MAX) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(SECONDS_MAX)
            assert not thread.is_alive(), "the server did not stop"
