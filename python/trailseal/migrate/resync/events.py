"""`log_audit_event`, in and out of an event loop. What goes wrong here is logged and never reaches the request."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from trailseal import Receipt
from trailseal._loop import wait

from .chaos import faults
from .db import event_of, recorded, unrecorded
from .entry import STRUCTURED, AuditEntry
from .home import home
from .log import get_audit_log_manager
from .log_line import logger

#: Tasks that wait for the disk, so that none is collected before its end.
_waiting: set[asyncio.Task[Any]] = set()


async def log_audit_event_async(
    action: str,
    user_id: str,
    details: dict[str, Any],
    correlation_id: str | None = None,
    severity: str = "INFO",
    source_component: str = "main",
) -> AuditEntry:
    """Records an event and waits as the trail's policy says. It never raises: what failed has no `index`."""
    try:
        manager = await get_audit_log_manager()
        return await manager.log_audit_event(
            action, user_id, details, correlation_id, source_component=source_component, severity=severity
        )
    except Exception as error:
        return failed(action, (user_id, details, correlation_id, source_component, severity), error)


def log_audit_event(
    action: str,
    user_id: str,
    details: dict[str, Any],
    correlation_id: str | None = None,
    severity: str = "INFO",
    source_component: str = "main",
) -> AuditEntry:
    """The same without `await`. In an event loop it records before it returns, and holds nobody up.

    There the wait for the disk, where the policy asks for one, goes on in a task; elsewhere the call waits.
    """
    given = (user_id, details, correlation_id, source_component, severity)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    try:
        event = structured(*given)
        if loop is None:
            faults.before_write()
            return recorded(action, event, home.using(lambda trail: trail.record(action, **event)))
        if faults.active is not None:
            return later(loop, action, event, given)
        return at_once(loop, action, event, given)
    except Exception as error:
        return failed(action, given, error)


def at_once(loop: asyncio.AbstractEventLoop, action: str, event: dict[str, Any], given: tuple[Any, ...]) -> AuditEntry:
    """Hands the event in now; a task waits for the rest."""
    event = event | {"id": str(uuid.uuid4())}
    handed_in = home.using(lambda trail: trail._begin(action, event))  # type: ignore[arg-type]
    if isinstance(handed_in, Receipt):
        return recorded(action, event, handed_in)

    async def finish() -> None:
        try:
            recorded(action, event, await wait(handed_in))
        except Exception as error:
            failed(action, given, error)

    keep(loop.create_task(finish()))
    return unrecorded(action, event, event["id"], origin=home.trail().origin)


def later(loop: asyncio.AbstractEventLoop, action: str, event: dict[str, Any], given: tuple[Any, ...]) -> AuditEntry:
    """While a fault is on: a task meets it, so that a slow storage does not hold up the loop."""
    event = event | {"id": str(uuid.uuid4())}

    async def meet() -> None:
        try:
            await faults.before_write_async()
            receipt = await home.using_async(lambda trail: trail.record_async(action, **event))
            recorded(action, event, receipt)
        except Exception as error:
            failed(action, given, error)

    keep(loop.create_task(meet()))
    return unrecorded(action, event, event["id"])


def keep(task: asyncio.Task[Any]) -> None:
    _waiting.add(task)
    task.add_done_callback(_waiting.discard)


def structured(user_id: Any, details: Any, correlation_id: Any, source_component: str, severity: str) -> dict[str, Any]:
    """The event's fields, made as `AuditLog.log_audit_event` makes them."""
    metadata = dict(zip(STRUCTURED, (details, correlation_id, source_component, severity), strict=True))
    return event_of(user_id, None, None, None, None, None, None, metadata)


def failed(action: str, given: tuple[Any, ...], error: Exception) -> AuditEntry:
    """Says so in the log, and gives back an entry that was not recorded."""
    logger.error("Failed to persist audit event: %s", error, exc_info=error, extra={"audit_action": action})
    try:
        return unrecorded(action, structured(*given))
    except Exception:
        return AuditEntry(id="", action=str(action))
