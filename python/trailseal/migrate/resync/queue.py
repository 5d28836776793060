"""`AuditQueue`: what people have to review."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .home import home
from .log_line import logger
from .reviews import STATUSES, Reviews, is_reviewed_before

#: What a record may hold, as the older queue checked it.
LENGTHS = {"id": 255, "user_query": 10_000, "agent_response": 50_000, "ia_audit_reason": 1_000}

_reviews = Reviews()


class AuditQueue:
    """The queue of reviews. All instances share one state, which lives in the trail."""

    def __init__(self) -> None:
        self._initialized = False

    def initialize(self) -> None:
        """Opens the trail, if it is not open."""
        home.trail()
        self._initialized = True

    def close(self) -> None:
        """Nothing waits here: each step is on disk before its call returns."""
        self._initialized = False

    async def add_audit_record(self, memory: Mapping[str, Any]) -> bool:
        """Asks for a review of `memory`; `False` if one with its id was asked for already. Raises `ValueError`
        for a record that cannot be reviewed."""
        return await asyncio.to_thread(self.add_audit_record_sync, memory)

    def add_audit_record_sync(self, memory: Mapping[str, Any]) -> bool:
        """The same without `await`."""
        checked = _validate_audit_record(memory)
        fields = {name: checked.get(name) for name in ("user_query", "agent_response")}
        fields |= {name: checked.get(name) for name in ("ia_audit_reason", "ia_audit_confidence")}
        step = {"action": "review.requested", "category": "custom:review", "details": fields}
        return self._step(str(checked["id"]), step, lambda record: record is None)

    async def get_pending_audits(self, limit: int = 50) -> list[dict[str, Any]]:
        """What was not decided yet, the oldest first."""
        return (await self.get_audits_by_status("pending"))[: max(limit, 0)]

    async def get_pending(self, limit: int = 10) -> list[dict[str, Any]]:
        """The same as `get_pending_audits`."""
        return await self.get_pending_audits(limit)

    async def get_all_audits(self) -> list[dict[str, Any]]:
        """All records, the oldest first."""
        return list((await self._records()).values())

    async def get_audits_by_status(self, status: str) -> list[dict[str, Any]]:
        """The records with this status: `pending`, `approved` or `rejected`; `all` is any."""
        if status == "all":
            return await self.get_all_audits()
        return [record for record in await self.get_all_audits() if record["status"] == status]

    async def update_audit_status(self, memory_id: str, status: str, reviewed_by: str | None = None) -> bool:
        """Decides a review; `False` if there is none. `pending` takes a decision back."""
        return await asyncio.to_thread(self.update_audit_status_sync, memory_id, status, reviewed_by)

    def update_audit_status_sync(self, memory_id: str, status: str, reviewed_by: str | None = None) -> bool:
        """The same without `await`."""
        if status not in STATUSES:
            raise ValueError(f"the status {status!r} is not one of {', '.join(STATUSES)}")
        step = {"action": "review.decided", "category": "custom:review", "details": {"decision": status}}
        return self._step(memory_id, step | {"actor": reviewed_by}, lambda record: record is not None)

    async def is_memory_approved(self, memory_id: str) -> bool:
        """Whether its review ended in `approved`."""
        record = (await self._records()).get(str(memory_id))
        return record is not None and record["status"] == "approved"

    async def delete_audit_record(self, memory_id: str) -> bool:
        """Takes a record out of the queue; `False` if there is none. The trail keeps what happened to it."""
        return await asyncio.to_thread(self._withdraw, memory_id)

    def _withdraw(self, memory_id: str) -> bool:
        step = {"action": "review.withdrawn", "category": "custom:review"}
        return self._step(memory_id, step, lambda record: record is not None)

    async def cleanup_processed_audits(self, days_old: int = 30) -> int:
        """Takes out what was decided longer ago than this, 1 to 365 days. How many that were."""
        if not 1 <= days_old <= 365:
            raise ValueError("days must be between 1 and 365")
        cutoff = datetime.now(UTC) - timedelta(days=days_old)
        old = [id for id, record in (await self._records()).items() if is_reviewed_before(record, cutoff)]
        return sum([await self.delete_audit_record(memory_id) for memory_id in old])

    async def get_queue_length(self) -> int:
        """How many reviews are pending."""
        return len(await self.get_audits_by_status("pending"))

    async def get_audit_metrics(self) -> dict[str, Any]:
        """`pending`, and whether the queue is `initialized`."""
        return {"pending": await self.get_queue_length(), "initialized": self._initialized}

    async def get_audit_metrics_async(self) -> dict[str, Any]:
        """The same as `get_audit_metrics`, by the name that the interface has for it."""
        return await self.get_audit_metrics()

    async def get_review_metrics(self) -> dict[str, int]:
        """`total`, `pending`, `approved`, `rejected`: what `get_audit_metrics` of the older queue said."""
        records = (await self._records()).values()
        counts = {status: sum(record["status"] == status for record in records) for status in STATUSES}
        return {"total": len(records)} | counts

    async def health_check(self) -> bool:
        """Whether the trail can be read."""
        try:
            await self._records()
        except Exception as error:
            logger.error("The audit queue cannot be read: %s", error)
            return False
        return True

    def get_audit_metrics_sync(self) -> dict[str, Any]:
        """`get_audit_metrics` without `await`. In a running loop it raises `RuntimeError`: there, await."""
        metrics: dict[str, Any] = run(self.get_audit_metrics, "get_audit_metrics_sync()", "await get_audit_metrics()")
        return metrics

    def get_all_audits_sync(self) -> list[dict[str, Any]]:
        """`get_all_audits` without `await`, from any thread."""
        return list(_reviews.read(home.trail()).values())

    def get_audits_by_status_sync(self, status: str) -> list[dict[str, Any]]:
        """`get_audits_by_status` without `await`, from any thread."""
        return [record for record in self.get_all_audits_sync() if status in ("all", record["status"])]

    def is_memory_approved_sync(self, memory_id: str) -> bool:
        """`is_memory_approved` without `await`, from any thread."""
        record = _reviews.read(home.trail()).get(str(memory_id))
        return record is not None and record["status"] == "approved"

    def delete_audit_record_sync(self, memory_id: str) -> bool:
        """`delete_audit_record` without `await`, from any thread."""
        return self._withdraw(memory_id)

    def _step(self, memory_id: str, step: dict[str, Any], only_if: Callable[[Any], bool]) -> bool:
        done = _reviews.step(home.trail(), str(memory_id), step, only_if=only_if)
        if not done:
            logger.warning("Nothing to do for memory %s: %s", memory_id, step["action"])
        return done

    async def _records(self) -> dict[str, dict[str, Any]]:
        return await asyncio.to_thread(lambda: _reviews.read(home.trail()))


AsyncAuditQueue = AuditQueue
IAuditQueue = AuditQueue


def add_audit_records_batch(memories: Iterable[Mapping[str, Any]]) -> list[str | None]:
    """Asks for many reviews. For each its id, or `None` if it was there already or cannot be reviewed."""
    queue, ids = AuditQueue(), list[str | None]()
    for memory in memories:
        try:
            ids.append(str(memory["id"]) if queue.add_audit_record_sync(memory) else None)
        except (ValueError, TypeError, KeyError) as problem:
            logger.warning("A record was not added to the audit queue: %s", problem)
            ids.append(None)
    return ids


async def add_audit_records_batch_async(memories: Iterable[Mapping[str, Any]]) -> list[str | None]:
    """The same, awaited."""
    return await asyncio.to_thread(add_audit_records_batch, list(memories))


def _validate_audit_record(record: Any) -> dict[str, Any]:
    """The record, if it can be reviewed; raises `ValueError` that says what is wrong with it."""
    if not isinstance(record, Mapping):
        raise ValueError("an audit record must be a mapping")
    checked = dict(record)
    checked.setdefault("id", checked.get("memory_id"))
    for name, longest in LENGTHS.items():
        value = checked.get(name)
        if value is None and name == "ia_audit_reason":
            continue
        if not isinstance(value, str) or not value:
            raise ValueError(f"{name} must be a text that is not empty")
        if len(value) > longest:
            raise ValueError(f"{name} has {len(value)} characters, and at most {longest} are allowed")
        if "\0" in value:
            raise ValueError(f"{name} holds a NUL character")
    confidence = checked.get("ia_audit_confidence")
    if confidence is not None and not 0 <= float(confidence) <= 1:
        raise ValueError(f"ia_audit_confidence is {confidence}, and must be from 0 to 1")
    return checked


def run(function: Callable[[], Any], name: str, instead: str) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(function())
    raise RuntimeError(f"{name} cannot be used inside an active event loop; use {instead} instead")


_instance: AuditQueue | None = None
_lock = threading.Lock()


def _forked() -> None:
    # Another thread may have held it at the fork, and is not there to let it go.
    global _lock, _reviews
    _lock, _reviews = threading.Lock(), Reviews()


os.register_at_fork(after_in_child=_forked)


def ready() -> AuditQueue:
    """The one instance, initialised. Whoever comes while another one makes it waits for that one."""
    global _instance
    with _lock:
        instance = _instance or AuditQueue()
        if not instance._initialized:
            instance.initialize()
        # Only now: nobody may see an instance that is not ready.
        _instance = instance
        return instance


async def get_audit_queue() -> AuditQueue:
    """The one instance, ready to use: awaited, or as `Depends(get_audit_queue)`."""
    instance = _instance
    if instance is not None and instance._initialized:
        return instance
    return await asyncio.to_thread(ready)


async def initialize_audit_queue() -> AuditQueue:
    """The same as `get_audit_queue`."""
    return await get_audit_queue()
