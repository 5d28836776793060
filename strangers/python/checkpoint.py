"""Checkpoints (c2sp.org/tlog-checkpoint), their signatures (c2sp.org/signed-note), and the rotations
by which one key vouches for the next, from a size of the tree on."""

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import ed25519

ED25519 = b"\x01"
ROTATION = b"trailseal-rotation@v2"
NOTE_BYTES_MAX = 1 << 20
SIGNATURES_MAX = 100


class Bad(ValueError):
    """What was read is not in the form that it must have, or not signed as it must be."""

    def __init__(self, why, code="checkpoint_invalid"):
        super().__init__(why)
        self.code = code


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
    if not re.fullmatch(r"0|[1-9][0-9]{0,19}", text, re.ASCII) or int(text) >= 1 << 64:
        raise Bad(f"{text[:30]!r} is not a number")
    return int(text)


def check_origin(text):
    parts = text.split("/")
    if not re.fullmatch(r"[!-*,-~]{1,255}", text) or "//" in text or {"tile", "checkpoint"} & set(parts):
        raise Bad(f"{text[:300]!r} is not an origin")
    return text


def parse_key(text):
    parts = text.split("+", 2)
    if len(parts) != 3 or not parts[0] or re.search(r"\s", parts[0]):
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
    if not empty_line or not below.endswith("\n") or re.search(r"[\x00-\x09\x0b-\x1f\x7f]", note):
        raise Bad("not a signed note")
    lines, signatures = text.split("\n"), below[:-1].split("\n")
    if len(data) > NOTE_BYTES_MAX or len(signatures) > SIGNATURES_MAX:
        raise Bad("longer than a note can be")
    if len(lines) < 3 or not all(lines):
        raise Bad("not the three lines of a checkpoint")
    size, root = parse_number(lines[1]), decode_base64(lines[2])
    if len(root) != 32 or (size == 0 and root != hashlib.sha256(b"").digest()):
        raise Bad("the root is none")
    signatures = [parse_signature(line) for line in signatures]
    return Checkpoint(check_origin(lines[0]), size, root, (text + "\n").encode(), signatures)


def parse_signature(line):
    found = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)", line)
    data = decode_base64(found[2]) if found else b""
    if len(data) < 5:
        raise Bad("a line below the text is not a signature")
    return found[1], data


@dataclass(frozen=True)
class Rotation:
    """The old key's word that the new one signs from this size on, and the old one up to it."""
    old: Key
    new: Key
    size: int


def parse_rotation(signature, old):
    """The rotation that a signature line tells of, if it is one of this key and the key signed it."""
    name, data = signature
    if name != old.name or len(data) != 108 or data[:4] != old.identity(b"\xff" + ROTATION):
        return None
    rotation = Rotation(old, Key(name, data[4:36]), int.from_bytes(data[36:44], "big"))
    statement = f"{ROTATION.decode()}\n{name}\n{old}\n{rotation.new}\n{rotation.size}\n"
    return rotation if ed25519.verify(old.public, statement.encode(), data[44:]) else None


class Trust:
    """Which keys may sign, and from which size up to which: those that are trusted for themselves, and those
    for which one of them vouches. `signatures` are all lines that may be rotations, wherever they were seen."""

    def __init__(self, origin, keys, signatures):
        self.origin = origin
        self.first = {key: 0 for key in keys if key.name == origin}
        self.last = {}
        self.rotations = []
        signatures = sorted(set(signatures))
        chain = list(self.first)
        for old in chain:  # which grows meanwhile: a successor may vouch for the next
            for rotation in filter(None, (parse_rotation(line, old) for line in signatures)):
                self.rotations.append(rotation)
                self.last[old] = min(rotation.size, self.last.get(old, rotation.size))
                self.first[rotation.new] = max(rotation.size, self.first.get(rotation.new, 0))
                chain += [rotation.new] if rotation.new not in chain else []

    def may_sign(self, key, size):
        return key in self.first and self.first[key] <= size <= self.last.get(key, size)

    def has_two_histories(self):
        """Whether a key vouched twice, for two keys or from two sizes on."""
        return len({rotation.old for rotation in self.rotations}) < len(set(self.rotations))


def parse_any(signatures, rotation):
    """Whether this rotation is among the lines."""
    return any(parse_rotation(line, rotation.old) == rotation for line in signatures)


def check_signature(checkpoint, trust):
    """The key that signed the checkpoint. Raises Bad unless it is one that may sign this size."""
    own = [rotation for rotation in trust.rotations if parse_any(checkpoint.signatures, rotation)]
    if len({rotation.old for rotation in own}) < len(set(own)):
        raise Bad("it shows two rotations of one key", "rotation_invalid")
    if checkpoint.origin != trust.origin:
        raise Bad("it is of another trail", "origin_mismatch")
    by = None
    for name, data in checkpoint.signatures:
        for key in trust.first:
            if name != key.name or data[:4] != key.identity(ED25519):
                continue
            if not ed25519.verify(key.public, checkpoint.text, data[4:]):
                raise Bad("its signature is not the key's", "signature_invalid")
            if trust.may_sign(key, checkpoint.size):
                by = by or key
    if not by:
        raise Bad("it is signed by a key that is not trusted, or not for this size", "key_unknown")
    return by
