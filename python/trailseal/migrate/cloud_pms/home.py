"""Where the yacht system's events go."""

from __future__ import annotations

from typing import Literal

from trailseal import Trail
from trailseal.migrate._home import Home


def open_trail(folder: str) -> Trail:
    return Trail.open(folder, workers="slots")


home = Home(open_trail)


def configure(trail: Trail | None = None) -> None:
    """Records into `trail` from now on. It stays the caller's to close."""
    home.use(trail)


def set_audit_mode(mode: Literal["sync", "async"]) -> None:
    """The rollback plan, while the application runs: `sync` makes every write wait for the disk, `async` ends
    that.

    The change is itself recorded, and kept when this process is restarted. It applies to this process: with
    several workers, call it in each, or set `AUDIT_MODE` and restart them.
    """
    if mode not in ("sync", "async"):
        raise ValueError(f"the mode {mode!r} is neither sync nor async")
    home.trail().set_mode(mode)
