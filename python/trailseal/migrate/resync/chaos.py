"""Faults of the audit storage that an application can switch on, to see how it behaves under them.

The faults stand where this module hands events to the trail: an event that a fault refuses is not recorded, is
counted, and its caller sees what it would see if the trail refused it. Switching a fault on and off is itself
recorded, with the counts, so that a gap made by an experiment explains itself.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from .home import home

Fault = Literal["fails", "slow", "cut_off"]


class StorageFault(ConnectionError):
    """The audit storage fails or cannot be reached, because an experiment says so."""


@dataclass
class Faults:
    """Which fault is on, and what it did so far."""

    active: Fault | None = None
    delay: float = 1.0
    share: float = 1.0
    injected: int = 0
    refused: int = 0
    delayed: int = 0
    written: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def start(self, fault: Fault, *, delay: float = 1.0, share: float = 1.0) -> None:
        """Switches a fault on, for this share of the events.

        `fails`: each write raises at once. `slow`: each takes `delay` seconds longer. `cut_off`: each raises
        after `delay` seconds, as one does whose server cannot be reached.
        """
        if fault not in ("fails", "slow", "cut_off"):
            raise ValueError(f"the fault {fault!r} is not one of fails, slow, cut_off")
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share is {share}, and must be from 0 to 1")
        if delay < 0:
            raise ValueError(f"delay is {delay}, and must not be negative")
        self._note("chaos.fault_started", {"fault": fault, "delay": delay, "share": share})
        with self._lock:
            self.active, self.delay, self.share = fault, delay, share

    def stop(self) -> None:
        """Switches it off."""
        with self._lock:
            fault, self.active = self.active, None
        if fault is not None:
            self._note("chaos.fault_ended", {"fault": fault} | self.metrics())

    @contextmanager
    def on(self, fault: Fault, *, delay: float = 1.0, share: float = 1.0) -> Iterator[Faults]:
        """A fault for the length of a `with`."""
        self.start(fault, delay=delay, share=share)
        try:
            yield self
        finally:
            self.stop()

    def metrics(self) -> dict[str, Any]:
        """What was injected since the process began."""
        with self._lock:
            return {
                "active": self.active,
                "injected": self.injected,
                "refused": self.refused,
                "delayed": self.delayed,
                "written": self.written,
            }

    def before_write(self) -> None:
        """What a write meets before it reaches the trail."""
        fault, delay = self._meet()
        if delay:
            time.sleep(delay)
        self._raise(fault)

    async def before_write_async(self) -> None:
        """The same, for what is awaited."""
        fault, delay = self._meet()
        if delay:
            await asyncio.sleep(delay)
        self._raise(fault)

    def _meet(self) -> tuple[Fault | None, float]:
        if self.active is None:
            self.written += 1  # not exact between threads, and not worth a lock for each event
            return None, 0.0
        with self._lock:
            fault = self.active
            if fault is None or random.random() >= self.share:
                self.written += 1
                return None, 0.0
            self.injected += 1
            self.refused += fault != "slow"
            self.delayed += fault != "fails"
            self.written += fault == "slow"
            return fault, 0.0 if fault == "fails" else self.delay

    @staticmethod
    def _raise(fault: Fault | None) -> None:
        if fault == "fails":
            raise StorageFault("the audit storage fails: a fault was switched on")
        if fault == "cut_off":
            raise StorageFault("the audit storage cannot be reached: a fault was switched on")

    @staticmethod
    def _note(action: str, details: dict[str, Any]) -> None:
        # Past the fault, and before it counts: the trail must say why it then has a gap.
        home.trail().record(action, category="config_change", severity="warning", details=details)


faults = Faults()
