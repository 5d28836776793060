"""Every audit event in the application's logs, too: after masking, when it is on disk.

::

    from trailseal.logging import mirror

    mirror(trail)                          # logging.getLogger("trailseal.audit")
    mirror(trail, structlog.get_logger())  # structlog

A log is no evidence; the trail is. What logs it runs in a thread of its own, so a slow log slows no request. At the end of
the process it shows what it has not shown yet, for at most 10 seconds.
"""

from __future__ import annotations

import atexit
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

from . import EventDict, Events, Trail, TrailsealError

__all__ = ["Mirror", "finish", "mirror"]

_log = logging.getLogger("trailseal")

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


class StructuredLogger(Protocol):
    """A logger of structlog, or any that is called as one."""

    def log(self, level: int, event: str, /, **fields: Any) -> Any: ...


#: How long the end of a process waits for a log that is slow.
_WITHIN = 10.0


class Mirror:
    """A running mirror. It ends when its trail is closed, after the last event."""

    def __init__(self, trail: Trail, events: Events, show: Callable[[EventDict], object]) -> None:
        self._trail = trail
        self._events = events
        self._show = show
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="trailseal-mirror", daemon=True)
        self._thread.start()
        _running.add(self)

    def stop(self, timeout: float = 10.0) -> bool:
        """Shows nothing more. ``False`` if what is being shown takes longer than that."""
        self._stopped = True
        return self.wait(timeout)

    def wait(self, timeout: float = 10.0) -> bool:
        """Waits until the trail is closed and its last event was shown; ``False`` if that takes longer."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _finish(self, timeout: float) -> bool:
        """Shows what was recorded until now, and nothing more. All of it takes at most ``timeout``."""
        deadline = time.monotonic() + timeout
        if self._thread.is_alive() and not self._trail.is_closed:
            try:
                self._trail.flush(timeout)
            except TrailsealError as error:
                _log.warning("the mirror does not show what is not on disk: %s", error)
        self._events._end()
        return self.wait(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        try:
            for event in self._events:
                if self._stopped:
                    return
                self._show_one(event)
        except Exception:
            _log.exception("audit events are no longer mirrored")

    def _show_one(self, event: EventDict) -> None:
        try:
            self._show(event)
        except Exception:
            # One handler's failure must not end the mirror. The event itself is in the trail.
            _log.exception("the audit event %s was not mirrored", event.get("id"))


def mirror(trail: Trail, logger: str | logging.Logger | StructuredLogger = "trailseal.audit", **filters: Any) -> Mirror:
    """From now on every event of the trail that the ``filters`` of ``Trail.query`` match is logged, at the level
    of its severity. The trail's own events are left out.

    With ``logging`` the message is the action with actor, resource and outcome, and the event is in the record's
    ``audit``. With structlog the event's name is the action, and its fields are keywords.
    """
    if isinstance(logger, str):
        logger = logging.getLogger(logger)
    show = _to_logging(logger) if isinstance(logger, logging.Logger) else _to_structlog(logger)
    return Mirror(trail, trail.tail(0, follow=True, **filters), show)


_running: WeakSet[Mirror] = WeakSet()


@atexit.register
def finish(trail: Trail | None = None, timeout: float | None = None) -> None:
    """Waits until the mirrors of a trail, or of all, have shown what was recorded until now, for 10 seconds unless
    ``timeout`` says otherwise. They show nothing after it: for the end of a process that ends without ``atexit``."""
    deadline = time.monotonic() + (_WITHIN if timeout is None else timeout)
    for one in list(_running):
        if (trail is None or one._trail is trail) and not one._finish(max(0.0, deadline - time.monotonic())):
            _log.warning("the process ends before the mirror has shown the last audit events; they are in the trail")


def _to_logging(logger: logging.Logger) -> Callable[[EventDict], None]:
    def show(event: EventDict) -> None:
        level = _level(event)
        if logger.isEnabledFor(level):
            logger.log(level, "%s", _sentence(event), extra={"audit": event})

    return show


def _to_structlog(logger: StructuredLogger) -> Callable[[EventDict], None]:
    def show(event: EventDict) -> None:
        # structlog has names of its own for these.
        renamed = {"event": "audit_event", "level": "audit_level", "timestamp": "audit_timestamp"}
        fields = {renamed.get(name, name): value for name, value in event.items() if name != "action"}
        logger.log(_level(event), str(event["action"]), **fields)

    return show


def _level(event: EventDict) -> int:
    return _LEVELS.get(str(event.get("severity", "info")), logging.INFO)


def _sentence(event: EventDict) -> str:
    """One line, whatever an event holds: nobody writes a second log line by a name with a line break in it."""
    said = [f"action={_word(event.get('action'))}"]
    actor, resource = event.get("actor"), event.get("resource")
    if isinstance(actor, dict):
        said.append(f"actor={_word(actor.get('id') or actor.get('name'))}")
    if isinstance(resource, dict):
        parts = [str(resource[part]) for part in ("type", "id") if resource.get(part) is not None]
        said.append(f"resource={_word('/'.join(parts))}")
    if event.get("outcome"):
        said.append(f"outcome={_word(event['outcome'])}")
    said.append(f"id={_word(event.get('id'))}")
    return " ".join(said)


def _word(value: Any) -> str:
    text = str(value)
    is_plain = text.isascii() and text.isprintable() and " " not in text and '"' not in text
    return text if is_plain and text else json.dumps(text)
