"""Whether one record is as it was signed."""

from __future__ import annotations

import base64
import hashlib

from trailseal import ReadError, Trail, TrailsealError

# Digits alone would be an index: `id:42` is the event with this id.


def verify_record(trail: Trail, id: str, timeout: float = 5.0) -> tuple[bool, str]:
    """Whether the event with this id is in the signed tree, byte for byte, and a sentence about it."""
    try:
        if not trail.seal(timeout):
            return False, f"the trail was not sealed within {timeout:g} s; try again"
        proof = trail.prove(f"id:{id}")
    except TrailsealError as unproved:
        return False, str(unproved)
    size = proof.split("\n\n", 1)[-1].splitlines()[1]
    return True, f"the record is in the tree of {size} events that was signed, as it was recorded"


def leaf_hash(trail: Trail, id: str) -> str:
    """The SHA-256 of an event's line as a leaf of the signed tree, in hexadecimal."""
    if not trail.seal():
        raise ReadError("the trail was not sealed in time; try again")
    extra = next(line for line in trail.prove(f"id:{id}").splitlines() if line.startswith("extra "))
    return hashlib.sha256(b"\0" + base64.b64decode(extra.removeprefix("extra "))).hexdigest()
