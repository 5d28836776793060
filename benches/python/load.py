"""A load generator on bare sockets: some 15 µs of work a request, so that it is not what is measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_BODY_END = b"placed"


@dataclass
class Told:
    """What a load saw. `answered` are the numbers of requests that got a 200."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    late: int = 0

    @property
    def per_second(self) -> float:
        return len(self.answered) / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, told: Told, next_number: Callable[[_Connection], None]) -> None:
        self._told = told
        self._next = next_number
        self._got = b""
        self._number = 0
        self._since = 0.0
        # Of uvloop, whose transports are not of asyncio's classes.
        self.transport: Any = None
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, number: int, since: float) -> None:
        self._number, self._since, self._got = number, since, b""
        self.transport.write(
            b"POST /orders/%d HTTP/1.1\r\nHost: bench\r\nUser-Agent: load\r\nContent-Length: 0\r\n\r\n" % number
        )

    def data_received(self, data: bytes) -> None:
        self._got += data
        if _BODY_END not in self._got:
            if b"HTTP/1.1 5" in self._got and self.transport is not None:
                self.transport.close()
            return
        self._told.latencies.append(time.perf_counter() - self._since)
        self._told.answered.append(self._number)
        self._next(self)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


async def _connections(port: int, count: int, told: Told, next_number: Callable[[_Connection], None]) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(count):
        _, protocol = await loop.create_connection(lambda: _Connection(told, next_number), "127.0.0.1", port)
        made.append(protocol)
    return made


async def full(port: int, first: int, seconds: float, connections: int = 16) -> Told:
    """As much as the server takes, for a time; or until it is gone."""
    told = Told()
    numbers = iter(range(first, first + 10_000_000))
    end = time.perf_counter() + seconds

    def go_on(connection: _Connection) -> None:
        now = time.perf_counter()
        if now < end:
            connection.ask(next(numbers), now)
        elif connection.transport is not None:
            connection.transport.close()

    made = await _connections(port, connections, told, go_on)
    begun = time.perf_counter()
    for connection in made:
        go_on(connection)
    await asyncio.gather(*(connection.gone for connection in made))
    told.seconds = time.perf_counter() - begun
    return told


async def at_rate(port: int, first: int, seconds: float, rate: float, connections: int = 64) -> Told:
    """Requests at fixed times, whether the server keeps up or not; latency counts from when each was due."""
    told = Told()
    free: list[_Connection] = []
    waiting: list[tuple[int, float]] = []

    def done(connection: _Connection) -> None:
        if waiting:
            connection.ask(*waiting.pop(0))
        else:
            free.append(connection)

    made = await _connections(port, connections, told, done)
    free.extend(made)
    begun = time.perf_counter()
    sent = 0
    while (now := time.perf_counter()) < begun + seconds:
        while sent < (now - begun) * rate:
            due = begun + sent / rate
            if free:
                free.pop().ask(first + sent, due)
            else:
                told.late += 1
                waiting.append((first + sent, due))
            sent += 1
        await asyncio.sleep(max(0.0, begun + sent / rate - time.perf_counter()))
    deadline = time.perf_counter() + 5
    while len(told.answered) < sent and time.perf_counter() < deadline:
        await asyncio.sleep(0.01)
    told.seconds = seconds
    for connection in made:
        if connection.transport is not None:
            connection.transport.close()
    return told
