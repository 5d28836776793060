"""One endpoint, audited in the way that the environment variable WAY names. Run by uvicorn, one worker."""

import json
import logging
import logging.handlers
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request

WAY = os.environ["WAY"]
FOLDER = os.environ["FOLDER"]

app = FastAPI()


def event_of(number: int, request: Request) -> dict[str, Any]:
    """What every way records: as much as an ordinary event has."""
    return {
        "tenant": "acme",
        "actor": {"id": f"user-{number % 1000}", "name": "Anna Example", "type": "user"},
        "resource": ("order", str(number)),
        "outcome": "success",
        "details": {
            "amount": 1299,
            "currency": "EUR",
            "note": "please deliver in the morning",
            "lines": [{"sku": "A-1", "count": 2}, {"sku": "B-7", "count": 1}],
        },
    }


def row_of(number: int, request: Request) -> tuple[Any, ...]:
    """The same as a row of an ordinary audit table."""
    event = event_of(number, request)
    payload = json.dumps({"actor": event["actor"], "details": event["details"]})
    agent = request.headers.get("user-agent")
    ip = request.client.host if request.client else None
    now = datetime.now(UTC)
    return (
        str(uuid.uuid4()),
        "acme",
        "order.place",
        "order",
        number,
        event["actor"]["id"],
        payload,
        ip,
        agent,
        now,
    )


INSERT = (
    "INSERT INTO audit_log (id, tenant, action, entity_type, entity_id, user_id, payload, ip, user_agent, created_at) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)

if WAY == "bare":

    @app.post("/orders/{number}")
    async def order(number: int, request: Request) -> str:
        event_of(number, request)
        return "placed"

elif WAY in ("record", "record with middleware", "sync", "sync with middleware"):
    import trailseal
    import trailseal.fastapi

    MODE = "sync" if WAY.startswith("sync") else "async"
    if "middleware" in WAY:
        trail = trailseal.fastapi.install(app, trailseal.Trail.open(f"{FOLDER}/trail", mode=MODE))
    else:
        # Neither context nor anything else around a request.
        trail = trailseal.Trail.open(f"{FOLDER}/trail", mode=MODE)
        app.router.lifespan_context = trailseal.fastapi.lifespan(trail)

    if MODE == "async":

        @app.post("/orders/{number}")
        async def order(number: int, request: Request) -> str:
            trail.record("order.place", **event_of(number, request))
            return "placed"

    else:

        @app.post("/orders/{number}")
        async def order(number: int, request: Request) -> str:
            await trail.record_async("order.place", **event_of(number, request))
            return "placed"

elif WAY == "thread pool and PostgreSQL":
    # As document 001 has it: five threads, whose queue has no end.
    import threading

    import psycopg

    executor = ThreadPoolExecutor(max_workers=5, thread_name_prefix="audit_")
    local = threading.local()

    def write(row: tuple[Any, ...]) -> None:
        try:
            connection = getattr(local, "connection", None)
            if connection is None:
                connection = local.connection = psycopg.connect(os.environ["POSTGRES"], autocommit=True)
            connection.execute(INSERT, row)
        except Exception:
            logging.exception("Audit log write failed")

    @app.post("/orders/{number}")
    async def order(number: int, request: Request) -> str:
        executor.submit(write, row_of(number, request))
        return "placed"

elif WAY == "INSERT in the endpoint":
    # The usual way of a synchronous session: the endpoint runs in FastAPI's pool of threads.
    import threading

    import psycopg

    local = threading.local()

    @app.post("/orders/{number}")
    def order(number: int, request: Request) -> str:
        connection = getattr(local, "connection", None)
        if connection is None:
            connection = local.connection = psycopg.connect(os.environ["POSTGRES"], autocommit=True)
        connection.execute(INSERT, row_of(number, request))
        return "placed"

elif WAY == "logging to a file":
    logger = logging.getLogger("audit")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(logging.FileHandler(f"{FOLDER}/audit.log"))

    @app.post("/orders/{number}")
    async def order(number: int, request: Request) -> str:
        logger.info(json.dumps({"action": "order.place", "number": number, **event_of(number, request)}))
        return "placed"

else:
    raise SystemExit(f"there is no way {WAY!r}")


@app.get("/ready")
async def ready() -> str:
    return "yes"
