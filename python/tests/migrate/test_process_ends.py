"""What is recorded stays, however the process ends; and importing a module loads no framework."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import PATIENT_ENVIRONMENT

from migrate.world import SECONDS_MAX
from trailseal import Trail

MODULES = ("resync", "cloud_pms", "fastapi_starter", "bud")


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_", "TRAILSEAL_"))}
    own = {"TRAILSEAL_DIR": str(folder), "TRAILSEAL_HANDOFF__SIZE": "4MiB"}
    return kept | PATIENT_ENVIRONMENT | own


def start(folder: Path, program: str, apart: bool = False) -> subprocess.Popen[str]:
    """Starts a program. What it says on stderr is among the rest, or ``apart`` in the file ``stderr``: that a write was
    slow, for example."""
    with (folder.parent / "stderr").open("w") as stderr:
        return subprocess.Popen(
            [sys.executable, "-u", "-c", textwrap.dedent(program)],
            cwd=folder.parent,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=stderr if apart else subprocess.STDOUT,
            text=True,
        )


def recorded(folder: Path) -> list[dict[str, Any]]:
    """What the next start finds. It must be as it was signed."""
    with Trail.open(folder, environment=False, workers="slots", handoff_size="4MiB") as trail:
        events = list(trail.query(order="asc", order_by="recorded"))
        assert trail.seal(SECONDS_MAX)
        assert trail.verify()["ok"]
        return events


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_module_loads_no_framework(module: str, tmp_path: Path) -> None:
    program = f"""
        import sys
        import trailseal.migrate.{module}
        heavy = ("fastapi", "starlette", "pydantic", "sqlalchemy", "structlog", "django", "flask")
        print([name for name in heavy if name in sys.modules])
    """
    process = start(tmp_path / "trail", program)
    assert process.communicate(timeout=SECONDS_MAX)[0] == "[]\n"
    assert not (tmp_path / "trail").exists()


def test_the_shutdown_hook_twice_and_an_event_after_it(tmp_path: Path) -> None:
    program = """
        import atexit, logging
        from trailseal.migrate.cloud_pms import shutdown_audit_logger, write_audit_log_async

        logging.basicConfig(level=logging.INFO, format="%(message)s")
        atexit.register(write_audit_log_async, None, {"action": "late"})
        atexit.register(shutdown_audit_logger)
        atexit.register(shutdown_audit_logger)
        for number in range(1000):
            write_audit_log_async(None, {"action": "write", "entity_id": number})
    """
    process = start(tmp_path / "trail", program)
    said = process.communicate(timeout=SECONDS_MAX)[0]
    assert process.returncode == 0, said
    assert said.count("Shutting down audit logger...") == 2
    assert said.count("Audit logger shutdown complete. Stats: ") == 2
    assert "'succeeded': 1000" in said and "'queue_size': 0" in said
    actions = [event["action"] for event in recorded(tmp_path / "trail")]
    assert actions == ["write"] * 1000 + ["late"]


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    program = """
        import asyncio
        from trailseal import Trail
        from trailseal.migrate import bud, cloud_pms, fastapi_starter, resync

        trail = Trail.open("trail", workers="slots", mode="async")
        for module in (bud, cloud_pms, fastapi_starter, resync):
            module.configure(trail=trail)
        fastapi_starter.settings.audit_mode = "async"
        payload = {"yacht_id": "y1", "entity_type": "part", "action": "write", "user_id": "u1"}

        async def record() -> None:
            service = fastapi_starter.AuditService(None, None, "t1")
            number = 0
            while True:
                bud.log_audit(None, "create", "model", number)
                cloud_pms.write_audit_log_async(None, payload | {"entity_id": number})
                assert await service.log_success("user.update", "user", number)
                assert resync.log_audit_event("login", "u1", {"n": number}).recorded
                print(number)
                number += 1

        asyncio.run(record())
    """
    process = start(tmp_path / "trail", program, apart=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if len(lines) == 300 or not line.strip().isdigit():
            break
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait(SECONDS_MAX)
    acknowledged = [line for line in lines if line.endswith("\n")]
    said = (tmp_path / "stderr").read_text()
    assert len(acknowledged) >= 300, said
    assert [int(line) for line in acknowledged] == list(range(len(acknowledged))), said
    actions = [event["action"] for event in recorded(tmp_path / "trail")]
    for action in ("create", "write", "user.update", "login"):
        assert actions.count(action) >= len(acknowledged)


def test_under_uvicorn_the_documented_hook_runs(tmp_path: Path) -> None:
    (tmp_path / "application.py").write_text(
        textwrap.dedent("""
        import logging
        from fastapi import FastAPI
        from trailseal.migrate.cloud_pms import shutdown_audit_logger, write_audit_log_async

        logging.basicConfig(level=logging.INFO, format="%(message)s")
        app = FastAPI()

        @app.post("/parts/{id}")
        def create(id: int) -> None:
            write_audit_log_async(None, {"action": "create_part", "entity_type": "part", "entity_id": id})

        @app.on_event("shutdown")
        async def shutdown_event():
            shutdown_audit_logger(wait=True, timeout=10)
        """)
    )
    process = start(
        tmp_path / "trail",
        """
        import socket, uvicorn
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config("application:app", log_level="warning"))
        server.run(sockets=[listener])
        """,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS_MAX) as client:
        for number in range(50):
            client.post(f"/parts/{number}").raise_for_status()
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=SECONDS_MAX)[0]
    assert "Audit logger shutdown complete. Stats: {'submitted': 50, 'succeeded': 50, 'failed': 0" in said
    events = recorded(tmp_path / "trail")
    assert [event["resource"]["id"] for event in events] == [str(number) for number in range(50)]


def test_a_forked_child_records_too(tmp_path: Path) -> None:
    program = """
        import os
        from trailseal import Trail
        from trailseal.migrate import bud, cloud_pms

        trail = Trail.open("trail", workers="slots")
        bud.configure(trail)
        cloud_pms.configure(trail)
        payload = {"yacht_id": "y1", "entity_type": "part", "action": "write", "user_id": "u1"}
        bud.log_audit(None, "create", "model", "parent")
        cloud_pms.write_audit_log_async(None, payload | {"entity_id": "parent"})
        child = os.fork()
        name = "parent" if child else "child"
        bud.log_audit(None, "update", "model", name)
        cloud_pms.write_audit_log_async(None, payload | {"entity_id": name})
        if not child:
            # What waits for the disk is the parent's own.
            assert cloud_pms._audit_executor._work_queue.qsize() <= 1
        cloud_pms.shutdown_audit_logger()
        if child:
            assert trail.seal(120)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), dict(cloud_pms._audit_stats)["failed"])
            service = bud.AuditService()
            ids = [entry.id for entry in service.iter_audit_records(resource_type="model")]
            verdicts = service.verify_batch_integrity(ids)
            print(sorted(is_valid for is_valid, _ in verdicts.values()), service.find_tampered_records())
    """
    process = start(tmp_path / "trail", program, apart=True)
    said = process.communicate(timeout=SECONDS_MAX)[0]
    # The parent can verify what the child has recorded, too.
    assert said == "0 0\n[True, True, True] []\n", said + (tmp_path / "stderr").read_text()
    events = recorded(tmp_path / "trail")
    assert sorted(event["resource"]["id"] for event in events if event["action"] == "update") == [
        "child",
        "parent",
    ]
    assert len({event["origin"] for event in events}) == 2
