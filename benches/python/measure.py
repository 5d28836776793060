"""FastAPI with and without an audit trail, beside the usual ways, in one run.

    python benches/python/measure.py --out benches/results/python-1.jsonl

Each round measures every way once, in an order that turns from round to round, each in a server of its own:
requests a second at full load, then latencies at half the rate that the bare endpoint reached in the same round.
At the end each way is killed by `kill -9` under load, and what was answered is compared with what is there. What the
package itself takes is measured first: the size of the wheel, its import, and one call of `record`. Every figure is
written as it was measured; the summary on stderr has medians of ratios within a round.

A round takes 2 x `--seconds` + 4 s for each of the eight ways: with the usual 9 rounds of 3 s about twelve minutes, and
three more for the kills. Install the wheel of a release build first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python" / "tests"))

from postgres_server import postgres

from load import Told, at_rate, full

WAYS = (
    "bare",
    "record",
    "record with middleware",
    "sync",
    "sync with middleware",
    "thread pool and PostgreSQL",
    "INSERT in the endpoint",
    "logging to a file",
)
TABLE = """
CREATE TABLE IF NOT EXISTS audit_log (
    id uuid PRIMARY KEY, tenant text NOT NULL, action text NOT NULL, entity_type text NOT NULL,
    entity_id bigint NOT NULL, user_id text, payload jsonb, ip text, user_agent text, created_at timestamptz NOT
    NULL
);
CREATE INDEX IF NOT EXISTS by_tenant ON audit_log (tenant, created_at);
CREATE INDEX IF NOT EXISTS by_entity ON audit_log (entity_type, entity_id);
"""


@contextmanager
def served(way: str, folder: Path, database: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {**os.environ, "WAY": way, "FOLDER": str(folder), "POSTGRES": database}
    command = [sys.executable, "-m", "uvicorn", "served:app", "--port", str(port), "--workers", "1"]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=Path(__file__).parent, env=environment)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{way}: the server did not start") from None
                time.sleep(0.02)
        yield server, port
    finally:
        if server.poll() is None:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
        server.wait()


def run(load: Any) -> Told:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told: Told = runner.run(load)
    return told


def empty(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS audit_log")
        connection.execute(TABLE)


def measure(way: str, database: str, seconds: float, half_rate: float | None) -> dict[str, float]:
    empty(database)
    with tempfile.TemporaryDirectory() as folder, served(way, Path(folder), database) as (server, port):
        run(full(port, 0, min(1.0, seconds)))
        before = cpu_seconds(server.pid)
        flat_out = run(full(port, 1_000_000, seconds))
        took = cpu_seconds(server.pid) - before
        figures = {
            "requests_per_second": flat_out.per_second,
            "full_p50_ms": flat_out.quantile(0.5) * 1000,
            "full_p99_ms": flat_out.quantile(0.99) * 1000,
            "cpu_us_per_request": took / max(1, len(flat_out.answered)) * 1e6,
        }
        rate = half_rate or flat_out.per_second / 2
        half = run(at_rate(port, 10_000_000, seconds, rate))
        figures |= {
            "half_rate": rate,
            "half_p50_ms": half.quantile(0.5) * 1000,
            "half_p99_ms": half.quantile(0.99) * 1000,
            "half_answered_share": len(half.answered) / max(1.0, rate * seconds),
            "half_late": half.late,
        }
    return figures


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def killed(way: str, database: str, seconds: float) -> dict[str, float]:
    """What is missing of what was answered before `kill -9`."""
    empty(database)
    with tempfile.TemporaryDirectory() as folder:
        with served(way, Path(folder), database) as (server, port):

            async def load() -> Told:
                loop = asyncio.get_running_loop()
                loop.call_later(seconds, server.send_signal, signal.SIGKILL)
                return await full(port, 0, seconds + 30)

            told = run(load())
        there = kept(way, Path(folder), database)
    answered = set(told.answered)
    return {"answered": len(answered), "missing": len(answered - there), "there": len(there)}


def kept(way: str, folder: Path, database: str) -> set[int]:
    if way == "logging to a file":
        lines = (folder / "audit.log").read_text().splitlines()
        return {json.loads(line)["number"] for line in lines if line.endswith("}")}
    if "PostgreSQL" in way or "INSERT" in way:
        with psycopg.connect(database) as connection:
            return {int(number) for (number,) in connection.execute("SELECT entity_id FROM audit_log")}
    import trailseal

    with trailseal.Trail.open(folder / "trail") as trail:
        verdict = trail.verify()
        if not verdict["ok"]:
            raise SystemExit(f"{way}: the trail does not verify: {verdict}")
        return {int(event["resource"]["id"]) for event in trail.export(action="order.place")}


def machine(said: str) -> dict[str, Any]:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    packages = ("fastapi", "starlette", "uvicorn", "psycopg", "trailseal")
    versions = {package: metadata.version(package) for package in packages}
    processor = names[0].partition(":")[2].strip() if names else platform.machine()
    return {
        "machine": f"{os.cpu_count()} cores, {processor}",
        "kernel": platform.release(),
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "versions": versions,
        "said": said,
    }


IMPORT = """
import time
begun = time.perf_counter()
import trailseal
print((time.perf_counter() - begun) * 1000)
"""
RECORD = """
import statistics, sys, tempfile, time
import trailseal

fields = {
    "actor": {"id": "user-17", "name": "Anna Example", "type": "user"},
    "tenant": "acme",
    "resource": ("order", "17"),
    "outcome": "success",
    "details": {
        "amount": 1299,
        "currency": "EUR",
        "note": "please deliver in the morning",
        "lines": [{"sku": "A-1", "count": 2}, {"sku": "B-7", "count": 1}],
    },
}
calls, rounds = 2_000, []
with tempfile.TemporaryDirectory() as folder, trailseal.Trail.open(folder + "/trail", environment=False) as trail:
    record = trail.record
    for _ in range(int(sys.argv[1])):
        begun = time.perf_counter()
        for _ in range(calls):
            record("order.place", **fields)
        rounds.append((time.perf_counter() - begun) / calls * 1e6)
        # The buffer is empty at the begin of a round: what is measured is the call, not the disk.
        trail.flush()
print(statistics.median(rounds), min(rounds), max(rounds))
"""


def package(rounds: int) -> dict[str, float]:
    """What the package takes, each in processes of its own."""

    def told(program: str, *arguments: str) -> list[float]:
        command = [sys.executable, "-c", program, *arguments]
        return [float(text) for text in subprocess.run(command, capture_output=True, check=True).stdout.split()]

    imports = [told(IMPORT)[0] for _ in range(rounds)]
    median, lowest, highest = told(RECORD, str(max(20, rounds * 5)))
    figures = {
        "import_ms": statistics.median(imports),
        "import_ms_highest": max(imports),
        "record_us": median,
        "record_us_lowest": lowest,
        "record_us_highest": highest,
    }
    wheels = Path(__file__).resolve().parents[2].glob("target/wheels/trailseal-*.whl")
    newest = max(wheels, key=lambda wheel: wheel.stat().st_mtime, default=None)
    if newest is not None:
        figures["wheel_mb"] = newest.stat().st_size / 1e6
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, required=True, help="raw results, appended as JSON lines")
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--seconds", type=float, default=3.0)
    arguments.add_argument("--kills", type=int, default=2)
    arguments.add_argument("--ways", default=",".join(WAYS))
    arguments.add_argument("--said", default="", help="what else ran on the machine")
    told = arguments.parse_args()
    ways = [way for way in WAYS if way in told.ways.split(",")]
    results: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    told.out.parent.mkdir(parents=True, exist_ok=True)
    with postgres() as url, told.out.open("a") as out:
        database = url.replace("postgresql+psycopg://", "postgresql://")

        def write(line: dict[str, Any]) -> None:
            out.write(json.dumps(line) + "\n")
            out.flush()

        write(machine(told.said))
        figures = package(told.rounds)
        write({"measurement": "Python package", **figures})
        for name, figure in figures.items():
            print(f"package: {name} {figure:.2f}", file=sys.stderr, flush=True)
        for number in range(told.rounds):
            half = None
            # The bare endpoint first, since its rate sets the load of the others; the others in turn.
            others = [way for way in ways if way != "bare"]
            turned = others[number % max(1, len(others)) :] + others[: number % max(1, len(others))]
            for way in [*(["bare"] if "bare" in ways else []), *turned]:
                figures = measure(way, database, told.seconds, half)
                if way == "bare":
                    half = figures["requests_per_second"] / 2
                results[way].append(figures)
                write({"measurement": f"FastAPI: {way}", "round": number, **figures})
                print(f"{number} {way}: {figures['requests_per_second']:.0f}/s", file=sys.stderr, flush=True)
        for way in ways:
            for number in range(told.kills if way != "bare" else 0):
                lost = killed(way, database, told.seconds)
                write({"measurement": f"FastAPI: {way}, kill -9", "round": number, **lost})
                print(f"{way}: {lost['missing']:.0f} of {lost['answered']:.0f} lost", file=sys.stderr, flush=True)
    if "bare" in ways:
        summary(results)


def summary(results: dict[str, list[dict[str, float]]]) -> None:
    bare = results["bare"]
    print("ratio to the bare endpoint of the same round, median [lowest..highest]", file=sys.stderr)
    for way, rounds in results.items():
        for name in ("requests_per_second", "half_p99_ms"):
            ratios = [one[name] / other[name] for one, other in zip(rounds, bare, strict=True)]
            text = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}..{max(ratios):.2f}]"
            print(f"  {way}: {name} {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
