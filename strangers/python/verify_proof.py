"""Checks a proof that stands alone, by the public key: that one event is in a trail (c2sp.org/tlog-proof), or
that a newer checkpoint's trail begins with all of an older one's.

Prints `ok index=N size=M` and the event's line, or `ok from=N to=M`, and exits 0; `NOT PROVED: why` and 1; 2 for
unusable input."""

import argparse
import sys
from pathlib import Path

import checkpoint
import merkle
from checkpoint import Bad

INCLUSION = "c2sp.org/tlog-proof@v1"
CONSISTENCY = "trailseal-consistency@v1"
HASHES_MAX = 128


def parse_hashes(lines):
    hashes = [checkpoint.decode_base64(line) for line in lines]
    if len(hashes) > HASHES_MAX or any(len(sibling) != 32 for sibling in hashes):
        raise Bad("its hashes are none")
    return hashes


def parse_inclusion(data):
    """The line that stands in `extra`, the index, the hashes of the path, and the checkpoint."""
    head, empty_line, note = data.partition(b"\n\n")
    lines = head.decode(errors="replace").split("\n")
    if not empty_line or len(lines) < 3 or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise Bad("it does not carry the event's line and index")
    line = checkpoint.decode_base64(lines[1].removeprefix("extra "))
    index = checkpoint.parse_number(lines[2].removeprefix("index "))
    return line, index, parse_hashes(lines[3:]), checkpoint.parse_checkpoint(note)


def parse_consistency(data):
    """The hashes, and both checkpoints."""
    head, *notes = data.split(b"\n\n")
    if len(notes) != 4:
        raise Bad("it does not carry two checkpoints")
    old, new = notes[0] + b"\n\n" + notes[1] + b"\n", notes[2] + b"\n\n" + notes[3]
    hashes = parse_hashes(head.decode(errors="replace").split("\n")[1:])
    return hashes, checkpoint.parse_checkpoint(old), checkpoint.parse_checkpoint(new)


def check_signed(notes, keys):
    """All of them are of one trail, and signed by keys that may."""
    origin = notes[0].origin
    trust = checkpoint.Trust(origin, keys, [line for note in notes for line in note.signatures])
    if trust.has_two_histories():
        raise Bad("one key vouched for two")
    for note in notes:
        checkpoint.check_signature(note, trust)


def verify_inclusion(data, keys):
    line, index, path, signed = parse_inclusion(data)
    check_signed([signed], keys)
    if index >= signed.size:
        raise Bad(f"the checkpoint covers {signed.size} events, not event {index}")
    if merkle.root_of_proof(merkle.leaf_hash(line), index, signed.size, path) != signed.root:
        raise Bad(f"the line is not event {index} of what was signed")
    return f"ok index={index} size={signed.size}\n".encode() + line + b"\n"


def verify_consistency(data, keys):
    hashes, old, new = parse_consistency(data)
    check_signed([old, new], keys)
    if merkle.roots_of_consistency(old.size, new.size, old.root, new.root, hashes) != (old.root, new.root):
        raise Bad("the newer trail does not begin with the older one")
    return f"ok from={old.size} to={new.size}\n".encode()


def verify(data, keys):
    kind = data.partition(b"\n")[0].decode(errors="replace")
    if kind not in (INCLUSION, CONSISTENCY):
        raise Bad(f"not a proof of the form {INCLUSION} or {CONSISTENCY}")
    return (verify_inclusion if kind == INCLUSION else verify_consistency)(data, keys)


def main():
    parser = argparse.ArgumentParser(description="Checks a proof that stands alone.")
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
        sys.stdout.buffer.write(verify(data, keys))
    except Bad as error:
        print(f"NOT PROVED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
