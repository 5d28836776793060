"""A PostgreSQL of the tests' own, on a free port, thrown away afterwards."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# How long a server may take to start on a busy machine.
PATIENCE = 180.0
_USERS = ("postgres", "nobody")


def _program(name: str) -> str:
    installed = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    found = shutil.which(name) or next(reversed(installed), None)
    if found is None:
        raise RuntimeError(
            f"{name} is missing: install PostgreSQL (Debian: postgresql), or name a server in TEST_POSTGRES_URL"
        )
    return found


def _user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(user for user in _USERS if user in known)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgres() -> Iterator[str]:
    """Its URL for SQLAlchemy with psycopg."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="trailseal-postgres-"))
    user = _user()
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        initdb = [_program("initdb"), "-D", str(data), "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        server, port = _started(folder, data, user)
        try:
            yield f"postgresql+psycopg://test@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path, data: Path, user: str | None) -> tuple[subprocess.Popen[bytes], int]:
    """A server that accepts connections, and its port. Another program may take a port that was free a moment ago."""
    deadline = time.monotonic() + PATIENCE
    while True:
        port = _free_port()
        settings = [
            f"port={port}",
            f"unix_socket_directories={folder}",
            "listen_addresses=127.0.0.1",
            "max_prepared_transactions=10",
        ]
        arguments = [part for setting in settings for part in ("-c", setting)]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [_program("postgres"), "-D", str(data), *arguments], user=user, cwd=folder, stdout=log, stderr=log
            )
        if _accepts(server, folder, port, deadline):
            return server, port
        server.kill()
        server.wait()
        said = (folder / "log").read_text()
        if "could not bind" not in said or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start:\n{said}")


def _accepts(server: subprocess.Popen[bytes], folder: Path, port: int, deadline: float) -> bool:
    import psycopg

    while server.poll() is None and time.monotonic() < deadline:
        # By the socket in its own folder: what answers there is no other server, and listens on the port.
        where = {"host": str(folder), "port": port, "user": "test", "dbname": "postgres"}
        with suppress(psycopg.OperationalError):
            psycopg.connect(**where, connect_timeout=30).close()  # type: ignore[arg-type]
            return True
        time.sleep(0.05)
    return False
