"""Changes a recorded line on disk, as somebody would who wants to rewrite history."""

from __future__ import annotations

from pathlib import Path

from trailseal import Trail


def change(trail: Trail, old: str, new: str) -> None:
    """Replaces a text in the segments by one of the same length."""
    assert len(old.encode()) == len(new.encode())
    assert trail.seal()
    changed = 0
    for segment in Path(trail.dir).rglob("segments/*"):
        held = segment.read_bytes()
        if old.encode() in held:
            with segment.open("r+b") as file:
                file.write(held.replace(old.encode(), new.encode()))
            changed += 1
    assert changed, f"{old!r} is in no segment"
