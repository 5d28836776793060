"""Lines that are missing and that a list says are retired: whether signed events say so too."""

import base64
import bisect
import hashlib
import json

import ed25519
import segments
from lines import event_of

SIGNATURE = b',"signature":"'


def announced(index, line, trust):
    """The lists that the event vouches for, if the trusted key in force at its index has signed its details."""
    event = event_of(line)
    if not isinstance(event, dict) or event.get("action") != "trail.retired":
        return []
    begin, end = line.find(b'"details":{') + len(b'"details":'), line.rfind(SIGNATURE)
    if begin < len(b'"details":') or end < begin:
        return []
    try:
        signature = base64.b64decode(line[end + len(SIGNATURE):].split(b'"')[0], validate=True)
        details = json.loads((line[begin:end] + b"}").decode())
        lists = [(one["first"], one["bytes"], bytes.fromhex(one["sha256"])) for one in details["segments"]]
    except (ValueError, KeyError, TypeError):
        return []

    def signed_by(key):
        text = f"trailseal-retired@v1\n{trust.origin}\n".encode() + line[begin:end]
        is_in_force = trust.first[key] <= index < trust.last.get(key, 1 << 64)
        return is_in_force and len(signature) == 64 and ed25519.verify(key.public, text, signature)

    return lists if any(signed_by(key) for key in trust.first) else []


def check(folder, starts, found, trust, size):
    """The first event that is missing although no sealed event says that it was retired, and whether all of
    its segment is; None if there is none."""
    vouched = [one for index, line in found.announcing if index < size
               for one in announced(index, line, trust)]
    known = {}
    for first, end in found.missing:
        at = bisect.bisect(starts, first) - 1
        while first < end:
            start = starts[at]
            until = min([end, *starts[at + 1:at + 2]])
            if start not in known:
                data = segments.list_of(folder, start)
                lengths = [length for begin, length, digest in vouched if begin == start
                           and hashlib.sha256(data[:length]).digest() == digest and length <= len(data)]
                known[start] = segments.Ranges(data[:max(lengths, default=0)])
            ranges = known[start]
            if ranges.covers(first, until) is None:
                bad = next(index for index in range(first, until) if ranges.covers(index, index + 1) is None)
                return bad, not ranges.ranges and next(segments.content(folder, start), None) is None
            first, at = until, at + 1
    return None
