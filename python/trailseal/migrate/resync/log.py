"""`AuditLog`: Resync's name for what `AuditDB` does, with the methods that its plan adds."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

from .db import AuditDB
from .entry import AuditEntry


class AuditLog:
    """The audit log. All instances write into one trail."""

    def __init__(self) -> None:
        self._db = AuditDB()

    @property
    def _initialized(self) -> bool:
        return self._db._initialized

    async def initialize(self) -> None:
        """Opens the trail, if it is not open."""
        await asyncio.to_thread(self._db.initialize)

    async def close(self, timeout: float = 10.0) -> None:
        """Waits until all is on disk. Closing again does nothing, and the next use opens it again."""
        await asyncio.to_thread(self._db.close, timeout)

    async def log(self, action: str, *args: Any, **kwargs: Any) -> AuditEntry:
        """Records an action, with the parameters of `AuditDB.log_action`."""
        return await self._db.log_action(action, *args, **kwargs)

    async def log_action(self, action: str, *args: Any, **kwargs: Any) -> AuditEntry:
        """The same as `log`."""
        return await self.log(action, *args, **kwargs)

    async def log_audit_event(
        self,
        action: str,
        user_id: str,
        details: dict[str, Any],
        correlation_id: str | None = None,
        source_component: str = "main",
        severity: str = "INFO",
    ) -> AuditEntry:
        """Records an event with structured details."""
        metadata = {
            "details": details,
            "correlation_id": correlation_id,
            "source_component": source_component,
            "severity": severity,
        }
        return await self.log_action(action=action, user_id=user_id, metadata=metadata)

    async def get_recent(self, limit: int = 100) -> list[AuditEntry]:
        """The newest entries, the newest first."""
        return await self._db.get_recent_actions(limit)

    async def search(self, *args: Any, **kwargs: Any) -> list[AuditEntry]:
        """Entries that match, with the parameters of `AuditDB.search_actions`."""
        return await self._db.search_actions(*args, **kwargs)

    async def get_audit_metrics(self) -> dict[str, Any]:
        """`total_records`, and whether the log is `initialized`."""
        return {"total_records": await self._db.get_record_count_async(), "initialized": self._initialized}


_instance: AuditLog | None = None
_lock = threading.Lock()


def _forked() -> None:
    # Another thread may have held it at the fork, and is not there to let it go.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def ready() -> AuditLog:
    """The one instance, initialised. Whoever comes while another one makes it waits for that one."""
    global _instance
    with _lock:
        instance = _instance or AuditLog()
        if not instance._initialized:
            instance._db.initialize()
        # Only now: nobody may see an instance that is not ready.
        _instance = instance
        return instance


async def get_audit_log() -> AuditLog:
    """The one instance, ready to use, however many tasks, threads and loops ask at once."""
    instance = _instance
    if instance is not None and instance._initialized:
        return instance
    return await asyncio.to_thread(ready)


get_audit_log_manager = get_audit_log
