"""What trail.toml says, and whether the rotations that were signed say the same."""

import re
import tomllib
from dataclasses import dataclass

import checkpoint
import segments
from checkpoint import Bad

TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
KEYS_MAX = 65


@dataclass
class Entry:
    """A key, and the sizes that it signs by trail.toml."""
    key: checkpoint.Key
    first: int
    last: int | None
    vouched: str | None


@dataclass
class Manifest:
    origin: str
    entries: list

    def vouchers(self):
        """The signature lines of all vouchers that have the form of one."""
        lines = [signature_of(entry.vouched) for entry in self.entries]
        return [line for line in lines if line]


def read(folder):
    """Raises FileNotFoundError, and Bad for what is damaged or contradicts itself."""
    try:
        with segments.open_file(folder / "trail.toml") as stream:
            settings = tomllib.loads(stream.read().decode())
        return parse(settings)
    except (segments.Damaged, KeyError, TypeError, ValueError) as error:
        raise Bad(f"trail.toml: {error}", "manifest_invalid") from None


def parse(settings):
    if typed(settings, "format", int) != 1:
        raise Bad(f"it is of format {settings['format']}, and this verifier knows format 1")
    only(settings, {"format", "origin", "created", "key"})
    origin = checkpoint.check_origin(typed(settings, "origin", str))
    if not TIME.fullmatch(typed(settings, "created", str)):
        raise Bad("its time of creation is none")
    entries = [parse_entry(key) for key in typed(settings, "key", list)]
    if not 1 <= len(entries) <= KEYS_MAX:
        raise Bad("it names no key, or too many")
    return Manifest(origin, entries)


def parse_entry(settings):
    only(settings, {"public_key", "from", "to", "vouched"})
    entry = Entry(checkpoint.parse_key(typed(settings, "public_key", str)), typed(settings, "from", int),
                  typed(settings, "to", int, None), typed(settings, "vouched", str, None))
    if min(entry.first, entry.last or 0) < 0 or max(entry.first, entry.last or 0) >= 1 << 63:
        raise Bad("a key has a size that is none")
    return entry


def typed(settings, name, kind, *default):
    value = settings[name] if not default else settings.get(name, *default)
    if type(value) is not kind and (not default or value is not None):
        raise Bad(f"{name} is of another type")
    return value


def only(settings, names):
    if set(settings) - names:
        raise Bad(f"it has fields that this verifier does not know: {set(settings) - names}")


def check_rotations(manifest, newest, trust):
    """Raises Bad unless trail.toml tells of the rotations that were signed, and of no others."""
    entries = manifest.entries
    told = [rotation_of(old, new) for old, new in zip(entries, entries[1:])]
    if None in told or entries[0].vouched or entries[0].first or entries[-1].last is not None:
        raise Bad("trail.toml does not agree with the signatures that vouch for its keys", "rotation_invalid")
    if trust.has_two_histories():
        raise Bad("one key vouched for two", "rotation_invalid")
    # One of just the newest size may not be told of yet: a machine stopped between the two.
    if any(rotation.size < newest.size and rotation not in told for rotation in trust.rotations):
        raise Bad("trail.toml does not tell of a rotation", "rotation_invalid")
    for rotation in told:
        carried = [checkpoint.parse_rotation(line, rotation.old) for line in newest.signatures]
        if rotation.size <= newest.size and rotation not in carried:
            raise Bad("the newest checkpoint does not carry a rotation", "rotation_invalid")


def signature_of(text):
    try:
        return checkpoint.parse_signature((text or "").rstrip())
    except Bad:
        return None


def rotation_of(old, new):
    """The rotation from one key of trail.toml to the next, if everything agrees with the voucher."""
    line = signature_of(new.vouched)
    rotation = line and checkpoint.parse_rotation(line, old.key)
    agrees = rotation and rotation.new == new.key and rotation.size == new.first == old.last
    return rotation if agrees else None
