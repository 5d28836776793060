"""The lines of a trail: its segments, plain or compressed, in their order."""

import bisect
import re
import stat
import subprocess

NAME = re.compile(r"(\d{20})\.jsonl(?:\.zst)?", re.ASCII)
LIST_NAME = re.compile(r"(\d{20})\.retired", re.ASCII)
RANGE = re.compile(rb"(0|[1-9]\d*) (0|[1-9]\d*)\n")
INDEX = re.compile(rb'\{"v":1,"index":(0|[1-9]\d*),"recorded":"')
CHUNK = 1 << 20
FRAME_BYTES_MAX = 8 << 20
# Lines end before one as long as this: no reader needs to hold more.
HOPELESS = 1 << 20


class Unusable(Exception):
    """The verifier cannot do its work."""


class Damaged(Exception):
    """What follows cannot be read as lines."""

    def __init__(self, why, code="edited"):
        super().__init__(why)
        self.code = code


def open_file(path):
    """Opens what must be an ordinary file: a fifo in its place would be waited for."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise Damaged(f"{path} is not a file")
    return path.open("rb")


def starts(folder):
    """The first index of each segment, in order. Of one whose lines are all retired only the list is left."""
    names = [path.name for path in (folder / "segments").glob("*")]

    def firsts(pattern):
        found = (pattern.fullmatch(name) for name in names)
        return {int(name[1]) for name in found if name and int(name[1]) < 1 << 64}

    with_lines = firsts(NAME)
    # What vouches for retired lines comes after them: a list behind the last segment bounds nothing.
    last = max(with_lines, default=-1)
    return sorted(with_lines | {first for first in firsts(LIST_NAME) if first < last})


def list_of(folder, start):
    """The bytes of a segment's list of retired ranges; none if there is no list."""
    try:
        with open_file(folder / "segments" / f"{start:020}.retired") as stream:
            return stream.read()
    except (Damaged, FileNotFoundError):
        return b""


class Ranges:
    """The ranges in a list, as far as it is well formed."""

    def __init__(self, data):
        self.ranges, at = [], 0
        for line in data.splitlines(keepends=True):
            found, at = RANGE.fullmatch(line), at + len(line)
            if not found or not int(found[1]) < int(found[2]) < 1 << 64:
                break
            self.ranges.append((int(found[1]), int(found[2]), at))
        self.ranges.sort()

    def covers(self, first, end):
        """How many bytes of the list it takes to say that these are retired; None if it does not say so."""
        at, needed = self.reaches(first, end)
        return needed if at >= end else None

    def reaches(self, first, end):
        """Up to where these are retired without a gap, and how many bytes of the list it takes to say so."""
        at, needed = first, 0
        for begin, until, length in self.ranges[max(bisect.bisect(self.ranges, (at, 1 << 64)) - 1, 0):]:
            if begin > at or at >= end:
                break
            if until > at:
                at, needed = until, max(needed, length)
        return at, needed


def lines(folder, segment_starts):
    """Every line that counts with its index, without its line break; and at the end of a segment the index that
    follows, with None. Raises Damaged where lines cannot be read on; ends at a gap. A line is the next one, unless it names a later index and the list says that
    everything before that is retired."""
    index = 0
    for start, end in zip(segment_starts, [*segment_starts[1:], None]):
        if index < start:
            return
        whole, ranges = split(content(folder, start)), None
        # The next segment's name bounds this one: what a failed write may have left behind it is not even read.
        while (end is None or index < end) and (line := next(whole, None)) is not None:
            if ranges is None:
                # Lines go only after their list is there: it is read after the file was opened.
                ranges = Ranges(list_of(folder, start))
            named = INDEX.match(line) if ranges.ranges else None
            if named and int(named[1]) > index and ranges.covers(index, int(named[1])) is not None:
                index = int(named[1])
                if end is not None and index >= end:
                    break
            yield index, line
            index += 1
        if end is not None and index < end:
            index = min(Ranges(list_of(folder, start)).reaches(index, end)[0], end)
            yield index, None


def split(chunks):
    """Whole lines without their line breaks; what follows the last line break does not count."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if len(line) >= HOPELESS:
                raise Damaged("a line is far longer than lines can be", "line_too_long")
            yield line


def content(folder, start):
    plain = folder / "segments" / f"{start:020}.jsonl"
    try:
        with open_file(plain) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except FileNotFoundError:
        # Looked for second, because a writer removes the plain file once the compressed one is whole.
        try:
            with open_file(plain.with_suffix(".jsonl.zst")) as stream:
                data = stream.read()
        except FileNotFoundError:
            return
        yield from map(decompress, frames(data))


def frames(data):
    """The zstd frames in a file (RFC 8878), each with the length that it says it has."""
    at = 0
    while at < len(data):
        if at + 8 <= len(data) and data[at] & 0xF0 == 0x50 and data[at + 1:at + 4] == b"\x2a\x4d\x18":
            at += 8 + int.from_bytes(data[at + 4:at + 8], "little")  # skippable
            if at > len(data):
                raise Damaged("a compressed segment is cut off")
            continue
        size, end = measure(data, at)
        yield data[at:end], size
        at = end


def measure(data, at):
    """The uncompressed length that the frame's header tells, and where the frame ends."""
    def number(begin, length):
        if begin + length > len(data):
            raise Damaged("a compressed segment is cut off")
        return int.from_bytes(data[begin:begin + length], "little")

    if number(at, 4) != 0xFD2FB528:
        raise Damaged("what follows is no zstd frame")
    descriptor = number(at + 4, 1)
    is_single, has_checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    size_length = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
    at += 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3]
    size = number(at, size_length) + (256 if size_length == 2 else 0)
    if not 1 <= size <= FRAME_BYTES_MAX:
        raise Damaged("a zstd frame does not say its length, or is too large")
    at += size_length
    is_last = False
    while not is_last:
        header = number(at, 3)
        is_last, kind, length = header & 1, header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == 1 else length)
        if kind == 3 or at > len(data):
            raise Damaged("a zstd frame is damaged")
    return size, at + 4 * has_checksum


def decompress(frame):
    data, size = frame
    try:
        process = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True)
    except FileNotFoundError:
        raise Unusable("a segment is compressed, and there is no `zstd` command to read it") from None
    if process.returncode or len(process.stdout) != size:
        raise Damaged("a zstd frame is damaged")
    return process.stdout
