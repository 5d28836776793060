"""Changes a recorded line on disk, as somebody would who wants to rewrite history."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import PATIENCE

from trailseal import Trail


def change(trail: Trail, old: str, new: str) -> None:
    """Replaces a text in the segments by one of the same length."""
    assert len(old.encode()) == len(new.encode())
    assert trail.seal(PATIENCE)
    changed = 0
    for segment in Path(trail.dir).rglob("segments/*"):
        # Nothing else is touched: the trail may be writing behind it.
        for found in re.finditer(re.escape(old.encode()), segment.read_bytes()):
            with segment.open("r+b") as file:
                file.seek(found.start())
                file.write(new.encode())
            changed += 1
    assert changed, f"{old!r} is in no segment"
