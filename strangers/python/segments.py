"""The lines of a trail: its segments, plain or compressed, in their order."""

import itertools
import re
import stat
import subprocess

NAME = re.compile(r"(\d{20})\.jsonl(?:\.zst)?", re.ASCII)
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
    """The first index of each segment, in order."""
    names = [NAME.fullmatch(path.name) for path in (folder / "segments").glob("*")]
    return sorted({int(name[1]) for name in names if name and int(name[1]) < 1 << 64})


def lines(folder, segment_starts):
    """Every line that counts, without its line break. Raises Damaged where lines cannot be read on; ends
    at a gap."""
    index = 0
    for start, end in zip(segment_starts, [*segment_starts[1:], None]):
        if index < start:
            return
        # The next segment's name bounds this one: what a failed write may have left behind it is not even read.
        for line in itertools.islice(split(content(folder, start)), None if end is None else end - start):
            yield line
            index += 1


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
