"""Where Resync's events go."""

from __future__ import annotations

from trailseal import Trail
from trailseal.migrate._home import Home


def open_trail(folder: str) -> Trail:
    """A trail for several worker processes, that masks what `_sanitize_audit_details` masked, and more."""
    return Trail.open(folder, workers="slots", mask_preset="000")


home = Home(open_trail)


def configure(trail: Trail | None = None) -> None:
    """Records into `trail` from now on. It stays the caller's to close."""
    home.use(trail)
