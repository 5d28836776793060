"""What one reading of all lines finds without a signature: whether they begin as they must, and are JSON."""

import calendar
import json
import re
from dataclasses import dataclass, field

import merkle
import segments
from segments import Damaged

FRONT = re.compile(rb'\{"v":1,"index":(0|[1-9]\d*),"recorded":"((\d{4})-(\d\d)-(\d\d)T'
                   rb'([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z)",')
SYSTEM = re.compile(FRONT.pattern + rb'"system":true,')
LINE_BYTES_MAX = 65_535


@dataclass
class Lines:
    """What one reading of all lines found."""
    tree: merkle.Tree = field(default_factory=merkle.Tree)
    misfit: tuple | None = None  # its index, the code, why
    went_back: int | None = None
    stop: str | None = None  # the code, if damage ended them
    has_gap: bool = False
    missing: list = field(default_factory=list)  # first and end of what a list says is retired
    no_leaf: int | None = None  # the first of these whose leaf hash is not in the tree either
    announcing: list = field(default_factory=list)  # lines that may announce a retirement

    def end(self):
        return self.tree.size


def front_of(line):
    """The index and the time that a line names, if it begins as lines do."""
    found = FRONT.match(line)
    if not found or int(found[1]) >= 1 << 64:
        return None, None
    year, month, day = int(found[3]), int(found[4]), int(found[5])
    # Python knows no year 0, which is a leap year as 2000 is.
    is_day = 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year or 2000, month)[1]
    return (int(found[1]), found[2]) if is_day else (None, None)


def no_number(text):
    raise ValueError(f"{text} is no JSON")


def event_of(line):
    """What the line says; None if it is not JSON."""
    try:
        # Numbers stay as they are: one of many digits is still JSON.
        return json.loads(line.decode(), parse_int=str, parse_float=str, parse_constant=no_number)
    except RecursionError:
        return {}  # deeper than this reader goes
    except ValueError:
        return None


def misfit_of(index, line, named):
    if len(line) > LINE_BYTES_MAX:
        return index, "line_too_long", f"event {index} is longer than lines can be"
    if named is None:
        return index, "edited", f"event {index} does not begin as a line must"
    if named != index:
        return index, "missing" if named > index else "duplicated", f"event {named} stands in place of {index}"
    return None


def read_lines(folder, starts, signed_size, leaves):
    """Reads all lines. Where some are missing that a list says are retired, `leaves`, the leaf hashes of the
    tree on disk, stand for them."""
    found, recorded = Lines(), b""

    def fill(index):
        if found.end() < index:
            found.missing.append((found.end(), index))
        for at in range(found.end(), index):
            leaf = leaves[32 * at:32 * at + 32]
            if len(leaf) < 32:
                found.no_leaf = at if found.no_leaf is None else found.no_leaf
            found.tree.append(leaf.ljust(32, b"\0"))

    try:
        for index, line in segments.lines(folder, starts):
            fill(index)
            if line is None:
                continue
            named, time = front_of(line)
            found.misfit = found.misfit or misfit_of(index, line, named)
            if time is not None:
                if time < recorded and index >= signed_size and found.went_back is None:
                    found.went_back = index
                recorded = time
            if SYSTEM.match(line) and b'"trail.retired"' in line:
                found.announcing.append((index, line))
            found.tree.append(merkle.leaf_hash(line))
    except Damaged as error:
        found.stop = error.code
    found.has_gap = bool(starts) and found.end() < starts[-1]
    return found


def readable(lines):
    try:
        yield from ((index, line) for index, line in lines if line is not None)
    except Damaged:
        pass
