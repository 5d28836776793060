"""A real uvicorn, ended in the ways that processes end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from trailseal import Trail

APP = """
import asyncio
from fastapi import BackgroundTasks, FastAPI
import trailseal.fastapi

app = FastAPI()
trail = trailseal.fastapi.install(app, "trail", record_mutations=True)

@app.get("/ready")
async def ready() -> str:
    return "yes"

@app.post("/orders/{number}")
async def order(number: int, background: BackgroundTasks) -> str:
    trail.record("order.place", resource=("order", number), actor=f"u{number}")
    background.add_task(trail.record, "order.mail", resource=("order", number))
    return "placed"

@app.post("/slow/{number}")
async def slow(number: int) -> str:
    trail.record("slow.begin", resource=("order", number))
    await asyncio.sleep(0.3)
    trail.record("slow.end", resource=("order", number))
    return "done"
"""


SLOTS = APP.replace('app, "trail"', 'app, trailseal.Trail.open("trail", workers="slots", handoff_size="4MiB")')


@contextmanager
def uvicorn(folder: Path, *arguments: str, app: str = APP) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    (folder / "served.py").write_text(app)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", "served:app", "--port", str(port), "--no-access-log", *arguments]
    with (folder / "log").open("ab") as log:
        environment = {**os.environ, "PYTHONPATH": "."}
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                assert httpx.get(f"{url}/ready").json() == "yes"
                break
            except httpx.TransportError:
                assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
        yield server, url
    finally:
        # With its workers.
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


async def load(url: str, server: subprocess.Popen[bytes], end: signal.Signals, after: int) -> list[int]:
    """Orders until the server is gone; the numbers of those that were answered."""
    answered: list[int] = []
    numbers = iter(range(1_000_000))

    async def client() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            for number in numbers:
                try:
                    answer = await http.post(f"/orders/{number}")
                except httpx.TransportError:
                    return
                if answer.status_code != 200:
                    return
                answered.append(number)
                if len(answered) == after:
                    server.send_signal(end)

    await asyncio.gather(*(client() for _ in range(8)))
    return answered


def orders(trail: Trail, action: str) -> list[int]:
    return sorted(int(event["resource"]["id"]) for event in trail.query(action=action))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_sigterm_closes_the_trail_and_nothing_answered_is_missing(tmp_path: Path, loop: str) -> None:
    with uvicorn(tmp_path, "--loop", loop) as (server, url):
        answered = asyncio.run(load(url, server, signal.SIGTERM, 300))
        assert server.wait(60) in (0, -signal.SIGTERM)
    trail = Trail.open(tmp_path / "trail")
    own = [event["action"] for event in trail.query(system=True, action="trail.*", order_by="recorded", order="asc")]
    # Closed by the server's shutdown, and opened again by this test.
    assert own.index("trail.closed") < len(own) - 1 - own[::-1].index("trail.opened"), own
    placed = orders(trail, "order.place")
    assert len(answered) >= 300 and set(answered) <= set(placed) and len(placed) == len(set(placed))
    assert set(answered) <= set(orders(trail, "order.mail")), "a background task's event is missing"
    assert trail.count(action="http.post") == len(placed)
    assert trail.verify()["ok"]
    trail.close()


def test_requests_that_run_at_sigterm_are_recorded_to_their_end(tmp_path: Path) -> None:
    async def slow(url: str, server: subprocess.Popen[bytes]) -> list[int]:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            asked = [asyncio.create_task(http.post(f"/slow/{number}")) for number in range(20)]
            await asyncio.sleep(0.15)
            server.send_signal(signal.SIGTERM)
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    with uvicorn(tmp_path) as (server, url):
        assert asyncio.run(slow(url, server)) == [200] * 20
        server.wait(60)
    with Trail.open(tmp_path / "trail") as trail:
        assert orders(trail, "slow.begin") == orders(trail, "slow.end") == list(range(20))


def test_nothing_answered_is_lost_to_kill_9(tmp_path: Path) -> None:
    answered: list[int] = []
    for _ in range(3):
        with uvicorn(tmp_path) as (server, url):
            before = len(answered)
            got = asyncio.run(load(url, server, signal.SIGKILL, 150))
            answered += got
            assert server.wait(60) == -signal.SIGKILL and len(answered) > before
    with Trail.open(tmp_path / "trail") as trail:
        placed = orders(trail, "order.place")
        for number in set(answered):
            assert placed.count(number) >= answered.count(number), f"order {number} is missing"
        assert trail.verify()["ok"]


def test_several_workers_record_in_slots(tmp_path: Path) -> None:
    with uvicorn(tmp_path, "--workers", "3", app=SLOTS) as (server, url):
        answered = asyncio.run(load(url, server, signal.SIGTERM, 200))
        server.wait(60)
    with Trail.open(tmp_path / "trail", workers="slots", handoff_size="4MiB", environment=False) as trail:
        placed = orders(trail, "order.place")
        assert len(answered) >= 200 and set(answered) <= set(placed) and len(placed) == len(set(placed))
        closed = {event["origin"] for event in trail.query(system=True, action="trail.closed")}
        used = {event["origin"] for event in trail.query(action="order.place")}
        assert used <= closed, "the shutdown of each worker closes its slot"
        assert trail.verify()["ok"]


def test_reload_closes_the_trail_and_opens_it_again(tmp_path: Path) -> None:
    with uvicorn(tmp_path, "--reload", "--reload-dir", str(tmp_path), "--reload-include", "served.py") as (server, url):
        assert httpx.post(f"{url}/orders/1").status_code == 200
        again = APP.replace('return "yes"', 'return "again"')
        deadline = time.monotonic() + 60
        (tmp_path / "served.py").write_text(again)
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(f"{url}/ready").json() == "again":
                    break
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        assert httpx.post(f"{url}/orders/2").status_code == 200
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    with Trail.open(tmp_path / "trail", environment=False) as trail:
        assert orders(trail, "order.place") == [1, 2]
        own = [event["action"] for event in trail.query(system=True, action=["trail.opened", "trail.closed"], order="asc")]
        assert own[:4] == ["trail.opened", "trail.closed", "trail.opened", "trail.closed"], own
        assert trail.verify()["ok"]
