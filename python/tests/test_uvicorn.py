"""A real uvicorn, ended in the ways that processes end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE, until

from trailseal import Trail

APP = """
import asyncio
from pathlib import Path
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
    Path(f"begun-{number}").touch()
    while not Path("go-on").exists():
        await asyncio.sleep(0.01)
    trail.record("slow.end", resource=("order", number))
    return "done"
"""


SLOTS = APP.replace('app, "trail"', 'app, trailseal.Trail.open("trail", workers="slots", handoff_size="4MiB")')


@contextmanager
def uvicorn(folder: Path, *arguments: str, app: str = APP) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    (folder / "served.py").write_text(app)
    command = [sys.executable, "-m", "uvicorn", "served:app", "--port", "0", "--no-access-log", *arguments]
    with (folder / "log").open("wb") as log:
        environment = {**os.environ, "PYTHONPATH": "."}
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)

    def address() -> str | None:
        found = re.search(r"running on (http://127\.0\.0\.1:\d+)", logged(folder))
        return found and found[1]

    try:
        until("the server's address", lambda: address() is not None or server.poll() is not None)
        url = address()
        assert url is not None, logged(folder)
        answers(server, folder, url, "yes")
        yield server, url
    finally:
        # With its workers.
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def logged(folder: Path) -> str:
    return (folder / "log").read_text()


def answers(server: subprocess.Popen[bytes], folder: Path, url: str, wanted: str) -> None:
    """Waits until the application is ready and says this."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/ready", timeout=PATIENCE).json() == wanted:
                return
        assert server.poll() is None and time.monotonic() < deadline, logged(folder)
        time.sleep(0.05)


async def load(url: str, server: subprocess.Popen[bytes], end: signal.Signals, after: int) -> list[int]:
    """Orders until the server is gone; the numbers of those that were answered."""
    answered: list[int] = []
    numbers = iter(range(1_000_000))

    async def client() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
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
        assert server.wait(PATIENCE) in (0, -signal.SIGTERM)
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
    def end(server: subprocess.Popen[bytes]) -> None:
        until("all of them to begin", lambda: len(list(tmp_path.glob("begun-*"))) == 20)
        server.send_signal(signal.SIGTERM)
        until("the shutdown", lambda: "Shutting down" in logged(tmp_path))
        (tmp_path / "go-on").touch()

    async def slow(url: str, server: subprocess.Popen[bytes]) -> list[int]:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
            asked = [asyncio.create_task(http.post(f"/slow/{number}")) for number in range(20)]
            await asyncio.to_thread(end, server)
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    with uvicorn(tmp_path) as (server, url):
        assert asyncio.run(slow(url, server)) == [200] * 20
        server.wait(PATIENCE)
    with Trail.open(tmp_path / "trail") as trail:
        assert orders(trail, "slow.begin") == orders(trail, "slow.end") == list(range(20))


def test_nothing_answered_is_lost_to_kill_9(tmp_path: Path) -> None:
    answered: list[int] = []
    for _ in range(3):
        with uvicorn(tmp_path) as (server, url):
            before = len(answered)
            got = asyncio.run(load(url, server, signal.SIGKILL, 150))
            answered += got
            assert server.wait(PATIENCE) == -signal.SIGKILL and len(answered) > before
    with Trail.open(tmp_path / "trail") as trail:
        placed = orders(trail, "order.place")
        for number in set(answered):
            assert placed.count(number) >= answered.count(number), f"order {number} is missing"
        assert trail.verify()["ok"]


def test_several_workers_record_in_slots(tmp_path: Path) -> None:
    # A worker that says nothing for so long is killed, and could close nothing.
    patience = ["--timeout-worker-healthcheck", str(int(PATIENCE))]
    with uvicorn(tmp_path, "--workers", "3", *patience, app=SLOTS) as (server, url):
        answered = asyncio.run(load(url, server, signal.SIGTERM, 200))
        server.wait(PATIENCE)
    with Trail.open(tmp_path / "trail", workers="slots", handoff_size="4MiB", environment=False) as trail:
        placed = orders(trail, "order.place")
        assert len(answered) >= 200 and set(answered) <= set(placed) and len(placed) == len(set(placed))
        closed = {event["origin"] for event in trail.query(system=True, action="trail.closed")}
        used = {event["origin"] for event in trail.query(action="order.place")}
        assert used <= closed, "the shutdown of each worker closes its slot"
        assert trail.verify()["ok"]


def test_reload_closes_the_trail_and_opens_it_again(tmp_path: Path) -> None:
    served = tmp_path / "served.py"
    with uvicorn(tmp_path, "--reload", "--reload-dir", str(tmp_path)) as (server, url):
        assert httpx.post(f"{url}/orders/1", timeout=PATIENCE).status_code == 200
        served.write_text(APP.replace('return "yes"', 'return "again"'))

        def is_seen() -> bool:
            """A file that has changed before uvicorn first looked at it is as it was for uvicorn."""
            if "detected changes" in logged(tmp_path):
                return True
            later = served.stat().st_mtime + 10
            os.utime(served, (later, later))
            time.sleep(2)
            return False

        until("the change to be seen", is_seen)
        answers(server, tmp_path, url, "again")
        assert httpx.post(f"{url}/orders/2", timeout=PATIENCE).status_code == 200
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)
    with Trail.open(tmp_path / "trail", environment=False) as trail:
        assert orders(trail, "order.place") == [1, 2]
        turns = trail.query(system=True, action=["trail.opened", "trail.closed"], order_by="recorded", order="asc")
        own = [event["action"] for event in turns]
        assert own[:4] == ["trail.opened", "trail.closed", "trail.opened", "trail.closed"], own
        assert trail.verify()["ok"]
