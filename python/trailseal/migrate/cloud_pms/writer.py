"""`write_audit_log_async` and what belongs to it. Nothing here raises into a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from trailseal import UnconfirmedError

from .counts import SLOW_SECONDS, _audit_stats
from .home import home
from .log import logger
from .row import event_of

#: What was said of incomplete payloads. There are no more kinds of them than subsets of the expected keys.
_noted: set[str] = set()
NOTED_MAX = 32

P = ParamSpec("P")
T = TypeVar("T")


def write_audit_log_async(db: Any, payload: Mapping[str, Any]) -> None:
    """Records an audit log: a copy into memory that outlives the process. It never raises.

    `db` is not used. Of `payload` are taken `yacht_id`, `entity_type`, `action`, `entity_id`, `user_id`,
    `old_values` and `new_values` (JSON text or values), `metadata`, `signature`; whatever else is there goes
    into the details, and what is missing is named there.
    """
    _audit_stats.submitted()
    write(payload)


def _write_audit_log_impl(db: Any, audit_payload: Mapping[str, Any]) -> None:
    """Writes a row, and returns when it is on disk. It never raises. The one who calls it counts it as
    submitted."""
    write(audit_payload, ack="durable")


def write(row: Any, **how: Any) -> bool:
    """Whether the row was taken. It is counted, and failures are logged."""
    action: Any = None
    entity_id: Any = None
    begun = time.monotonic()
    try:
        if not isinstance(row, Mapping):
            row = {"metadata": {"payload": row}}
        action, entity_id = row.get("action"), row.get("entity_id")
        name, fields = event_of(row)
        note_missing(fields.get("details", {}).get("missing"))
        trail = home.trail()
        try:
            trail, receipt = home.using(lambda trail: (trail, trail.record(name, **fields, **how)))
        except UnconfirmedError as late:
            logger.warning("Slow audit log write: %.2fs; it is kept: %s", time.monotonic() - begun, late)
            _audit_stats.taken(trail, late.index)
            return True
        if receipt.index is None:
            # The policy leaves such events out.
            _audit_stats.done("succeeded")
        elif receipt.status == "accepted":
            _audit_stats.taken(trail, receipt.index)
        else:
            _audit_stats.done("succeeded")
        logger.debug("Audit log written: %s for %s", action, entity_id)
    except Exception as error:
        _audit_stats.done("failed")
        where = {"action": action, "entity_id": entity_id, "error": str(error)}
        logger.error("Audit log write failed: %s", error, extra=where)
        return False
    elapsed = time.monotonic() - begun
    if elapsed > SLOW_SECONDS:
        logger.warning("Slow audit log write: %.2fs", elapsed)
    return True


def note_missing(names: Any) -> None:
    """Says once in a process that payloads lack these keys; each of their events says it for itself."""
    if isinstance(names, list) and (missing := ", ".join(map(str, names))) not in _noted and len(_noted) < NOTED_MAX:
        _noted.add(missing)
        logger.warning("Audit log payload is incomplete: %s", missing)


def get_audit_stats() -> dict[str, Any]:
    """`submitted`, `succeeded`, `failed`, `success_rate` such as `"99.8%"`, and `queue_size`: events not on disk
    yet."""
    waiting = _audit_stats.waiting()
    counts = dict(_audit_stats)
    share = counts["succeeded"] / counts["submitted"] * 100 if counts["submitted"] else 0.0
    return counts | {"success_rate": f"{share:.1f}%", "queue_size": waiting}


def shutdown_audit_logger(wait: bool = True, timeout: float | None = 10.0) -> None:
    """Waits until all audit logs are on disk, at most `timeout` seconds; `None` is without a limit.

    From `atexit`, from `on_event("shutdown")` or both: a second call finds nothing to do. What is late is said;
    it is in the trail's folder, and the next start recovers it. What is recorded after this call is taken, too.
    """
    logger.info("Shutting down audit logger...")
    late = 0
    try:
        if wait:
            late = home.leave(10.0**6 if timeout is None else max(0.0, timeout))
    except Exception as error:
        logger.error("Audit logger shutdown: %s", error)
    if late:
        logger.warning("%d audit logs are not on disk after %s s: the next start recovers them", late, timeout)
    logger.info("Audit logger shutdown complete. Stats: %s", get_audit_stats())


class WorkQueue:
    """What the documents' monitoring asks of the executor's queue."""

    def qsize(self) -> int:
        """How many events are not on disk yet."""
        return _audit_stats.waiting()


class AuditExecutor:
    """Stands where the thread pool stood. There are no threads to size: `submit` does the work at once."""

    def __init__(self, max_workers: int = 5) -> None:
        self._max_workers = max_workers
        self._work_queue = WorkQueue()

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls the function now, and gives its result as a future."""
        future: Future[T] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False, timeout: float | None = None) -> None:
        """Waits until all is on disk. It takes the `timeout` that a thread pool does not."""
        if wait:
            home.leave(10.0**6 if timeout is None else timeout)


_audit_executor = AuditExecutor()
