"""Checks that one event is in a trail, from a .tlog-proof alone (c2sp.org/tlog-proof).

Prints `ok index=N size=M` and the event's line, and exits 0; `NOT PROVED: why` and 1; 2 for unusable input."""

import argparse
import sys
from pathlib import Path

import checkpoint
import merkle
from checkpoint import Bad

HEADER = "c2sp.org/tlog-proof@v1"


def parse_proof(data):
    """The line that stands in `extra`, the index, the hashes of the path, and the checkpoint."""
    head, empty_line, note = data.partition(b"\n\n")
    lines = head.decode(errors="replace").split("\n")
    if not empty_line or len(lines) < 2 or lines[0] != HEADER:
        raise Bad(f"not a proof of the form {HEADER}")
    if not lines[1].startswith("extra "):
        raise Bad("it does not carry the event's line")
    if len(lines) < 3 or not lines[2].startswith("index "):
        raise Bad("it does not name an index")
    path = [checkpoint.decode_base64(line) for line in lines[3:]]
    if any(len(sibling) != 32 for sibling in path):
        raise Bad("a hash is not of 32 bytes")
    line = checkpoint.decode_base64(lines[1].removeprefix("extra "))
    return line, checkpoint.parse_number(lines[2].removeprefix("index ")), path, checkpoint.parse_checkpoint(note)


def verify(data, keys):
    line, index, path, signed = parse_proof(data)
    checkpoint.check_signature(signed, keys)
    if index >= signed.size:
        raise Bad(f"the checkpoint covers {signed.size} events, not event {index}")
    if merkle.root_of_proof(merkle.leaf_hash(line), index, signed.size, path) != signed.root:
        raise Bad(f"the line is not event {index} of what was signed")
    return line, index, signed.size


def main():
    parser = argparse.ArgumentParser(description="Checks that an event is in a trail.")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--public-key", metavar="KEY", action="append", required=True)
    arguments = parser.parse_args()
    try:
        keys = [checkpoint.read_key(key) for key in arguments.public_key]
        data = Path(arguments.file).read_bytes()
    except (Bad, OSError, UnicodeDecodeError) as error:
        print(f"unusable: {error}", file=sys.stderr)
        return 2
    try:
        line, index, size = verify(data, keys)
    except Bad as error:
        print(f"NOT PROVED: {error}")
        return 1
    sys.stdout.buffer.write(f"ok index={index} size={size}\n".encode() + line + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
