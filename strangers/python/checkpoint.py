"""Checkpoints (c2sp.org/tlog-checkpoint), their signatures (c2sp.org/signed-note), and the rotations
by which one key vouches for the next."""

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import ed25519

ED25519 = b"\x01"
ROTATION = b"trailseal-rotation@v1"


class Bad(ValueError):
    """What was read is not in the form that it must have, or not signed as it must be."""


@dataclass(frozen=True)
class Key:
    name: str
    public: bytes

    def identity(self, kind):
        """The four bytes that a signature line of this kind begins with."""
        return hashlib.sha256(self.name.encode() + b"\n" + kind + self.public).digest()[:4]

    def __str__(self):
        encoded = base64.b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{self.identity(ED25519).hex()}+{encoded}"


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: list  # of (key name, bytes)


def decode_base64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Bad("base64 is damaged") from None
    # Spare bits that are not zero would give one signature several spellings.
    if base64.b64encode(data).decode() != text:
        raise Bad("base64 is damaged")
    return data


def parse_number(text):
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", text, re.ASCII):
        raise Bad(f"{text[:30]!r} is not a number")
    return int(text)


def parse_key(text):
    parts = text.split("+", 2)
    if len(parts) != 3 or not parts[0]:
        raise Bad("not a key of the form NAME+ID+BASE64")
    data = decode_base64(parts[2])
    if len(data) != 33 or data[:1] != ED25519:
        raise Bad("not an Ed25519 key")
    key = Key(parts[0], data[1:])
    if str(key) != text:
        raise Bad("the key's id does not fit the key")
    return key


def read_key(argument):
    """A key as it stands on the command line, or in the first line of a file."""
    is_file = "\n" not in argument and len(argument) < 255 and Path(argument).is_file()
    text = Path(argument).read_text() if is_file else argument
    return parse_key((text.splitlines() or [""])[0].strip())


def parse_checkpoint(data):
    try:
        note = data.decode()
    except UnicodeDecodeError:
        raise Bad("not UTF-8") from None
    text, empty_line, below = note.rpartition("\n\n")
    if not empty_line or not below.endswith("\n") or re.search(r"[\x00-\x09\x0b-\x1f]", note):
        raise Bad("not a signed note")
    lines = text.split("\n")
    if len(lines) < 3 or not all(lines):
        raise Bad("not the three lines of a checkpoint")
    root = decode_base64(lines[2])
    if len(root) != 32:
        raise Bad("the root is not of 32 bytes")
    signatures = [parse_signature(line) for line in below[:-1].split("\n")]
    return Checkpoint(lines[0], parse_number(lines[1]), root, (text + "\n").encode(), signatures)


def parse_signature(line):
    found = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)", line)
    if not found:
        raise Bad("a line below the text is not a signature")
    return found[1], decode_base64(found[2])


def vouched_keys(checkpoint, key):
    """The keys for which this one vouches, by rotation lines that the checkpoint carries."""
    for name, data in checkpoint.signatures:
        if name != key.name or data[:4] != key.identity(b"\xff" + ROTATION) or len(data) != 100:
            continue
        successor = Key(key.name, data[4:36])
        statement = f"{ROTATION.decode()}\n{key.name}\n{key}\n{successor}\n".encode()
        if ed25519.verify(key.public, statement, data[36:]):
            yield successor


def trusted_keys(checkpoint, keys):
    trusted = list(keys)
    for key in trusted:  # which grows meanwhile: a successor may vouch for the next
        trusted += [new for new in vouched_keys(checkpoint, key) if new not in trusted]
    return trusted


def check_signature(checkpoint, keys):
    """Raises Bad unless one of the keys, or one for which they vouch, signed the checkpoint."""
    signed = False
    for key in trusted_keys(checkpoint, keys):
        for name, data in checkpoint.signatures:
            if name != checkpoint.origin or name != key.name or data[:4] != key.identity(ED25519):
                continue
            if not ed25519.verify(key.public, checkpoint.text, data[4:]):
                raise Bad("its signature is not the key's")
            signed = True
    if not signed:
        raise Bad("it is signed by a key that is not trusted")
