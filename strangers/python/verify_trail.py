"""Checks a trail's folder against its signed checkpoints, written from docs/format.md alone.

Prints `ok sealed=N unsealed=M` (and `retired=R`, if lines were retired) and exits 0; `TAMPERED at index N: code: why` (or `TAMPERED in N..M: …`, or
`TAMPERED: …` if no event can be named) and 1; 2 for unusable input."""

import argparse
import json
import re
import sys
from pathlib import Path

import checkpoint
import lines
import manifest as manifests
import merkle
import retired
import segments
from checkpoint import Bad
from segments import Damaged, Unusable

TREE_LEVELS = 8
WINDOW = 256


RETIREMENTS_MAX = 8


class Tampered(Exception):
    """What is wrong; and the first bad event, or the range that it lies in, where one can be named."""

    def __init__(self, code, why, first=None, until=None):
        super().__init__(f"{code}: {why}")
        self.code, self.first, self.until = code, first, until

    def place(self):
        return "" if self.first is None else f" in {self.first}..{self.until}" if self.until is not None \
            else f" at index {self.first}"


class Unvouched(Tampered):
    """Lines are missing that no event is known to have retired."""


# The tree on disk


def level_of(folder, level, size):
    """The signed hashes of a level, as far as they are there."""
    try:
        with segments.open_file(folder / "tree" / str(level)) as stream:
            data = stream.read(32 * (size >> 8 * level))
    except (Damaged, FileNotFoundError, NotADirectoryError):
        return b""
    return data[:len(data) // 32 * 32]


def first_difference(left, right):
    """The number of the first hash that differs, or is in one only; None if there is none."""
    if left == right:
        return None
    count = min(len(left), len(right)) // 32
    low, high = 0, count  # the first `low` hashes are the same
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[:32 * middle] == right[:32 * middle] else (low, middle - 1)
    return low


def check_tree(folder, tree, size):
    found = []
    for level in range(TREE_LEVELS):
        signed = level_of(folder, level, size)
        right = tree.hashes(8 * level, 0, size >> 8 * level)
        number = first_difference(signed, right)
        if number is not None:
            code = "tree_missing" if 32 * number >= len(signed) else "tile_forged"
            found.append((number << 8 * level, level, code))
    if found:
        _, level, code = min(found)
        raise Tampered(code, f"tree/{level} is not what the lines give")


# The checkpoints


def read_note(path):
    try:
        with segments.open_file(path) as stream:
            return checkpoint.parse_checkpoint(stream.read(checkpoint.NOTE_BYTES_MAX + 1))
    except Damaged as error:
        raise Bad(str(error)) from None


def read_kept(folder):
    """Of each file in `checkpoints/`, smallest size first: the size, and the checkpoint or what is wrong."""
    names = [path.name for path in (folder / "checkpoints").glob("*")]
    for size in sorted(int(name) for name in names if re.fullmatch(r"0|[1-9]\d{0,19}", name, re.ASCII)):
        try:
            yield size, read_note(folder / "checkpoints" / str(size))
        except Bad as error:
            yield size, error
        except FileNotFoundError:
            pass


def check_signed(signed, what, trust):
    """The checkpoint, if it is of this trail and signed as it must be."""
    try:
        checkpoint.check_signature(signed, trust)
    except Bad as error:
        raise Tampered(error.code, f"{what}: {error}") from None
    return signed


# The verdict


class Trail:
    """One verification: what was read, and then the first thing that is wrong."""

    def __init__(self, folder, pinned, given):
        self.folder, self.pinned, self.given = folder, pinned, given
        self.durable = None

    def read(self):
        """Everything but lines and tree, in the order that a writer beside us asks for."""
        folder = self.folder
        handoff = read_handoff(folder)
        try:
            self.newest = read_note(folder / "checkpoint")
        except FileNotFoundError:
            self.newest = Tampered("checkpoint_missing", "the newest checkpoint is not there")
        except Bad as error:
            self.newest = Tampered(error.code, f"the newest checkpoint: {error}")
        try:
            self.manifest = manifests.read(folder)
        except FileNotFoundError:
            if not segments.starts(folder) and getattr(self.newest, "code", "") == "checkpoint_missing":
                raise Unusable(f"{folder} holds no trail") from None
            self.manifest = Bad("trail.toml is missing", "manifest_invalid")
        except Bad as error:
            self.manifest = error
        self.kept = list(read_kept(folder))
        self.starts = segments.starts(folder)
        if self.manifest_is_good():
            self.origin = self.manifest.origin
        elif self.pinned:
            self.origin = self.pinned[0].name
        else:
            raise Tampered(self.manifest.code, str(self.manifest))
        self.durable = durable_index(handoff, self.origin)

    def manifest_is_good(self):
        return isinstance(self.manifest, manifests.Manifest)

    def trust_keys(self):
        notes = [self.newest, *self.given, *(kept for _, kept in self.kept)]
        seen = [line for note in notes if isinstance(note, checkpoint.Checkpoint) for line in note.signatures]
        vouchers = self.manifest.vouchers() if self.manifest_is_good() else []
        named = [self.manifest.entries[0].key] if self.manifest_is_good() else []
        self.named = checkpoint.Trust(self.origin, named, vouchers)
        self.trust = checkpoint.Trust(self.origin, self.pinned or named, seen + vouchers)

    def check_manifest(self):
        if not self.manifest_is_good():
            raise Tampered(self.manifest.code, str(self.manifest))
        try:
            manifests.check_rotations(self.manifest, self.newest, self.trust)
        except Bad as error:
            raise Tampered(error.code, str(error)) from None

    def open_kept(self):
        """The kept ones that count; notes what is wrong with the first that does not."""
        self.kept_bad, good = None, []
        for size, kept in self.kept:
            what = f"checkpoints/{size}"
            try:
                if isinstance(kept, Bad):
                    raise Tampered(kept.code, f"{what}: {kept}")
                self.check_kept(kept, what)
                if kept.size != size:
                    raise Tampered("checkpoint_invalid", f"{what} is of another size")
                good.append(kept)
            except Tampered as error:
                self.kept_bad = self.kept_bad or error
        return good

    def check_kept(self, kept, what):
        """As any other; but it may be from before the trusted keys, by those of trail.toml."""
        known = self.trust.first
        gave_way = [rotation.size for rotation in self.named.rotations
                    if rotation.new in known and rotation.old not in known]
        try:
            check_signed(kept, what, self.trust)
        except Tampered as error:
            if error.code != "key_unknown" or kept.size > max(gave_way, default=-1):
                raise
            check_signed(kept, what, self.named)

    def verify(self):
        """How many lines are sealed, are not, and were retired. Raises the first thing that is wrong."""
        self.read()
        self.trust_keys()
        if isinstance(self.newest, Tampered):
            raise self.newest
        size = check_signed(self.newest, "the newest checkpoint", self.trust).size
        self.check_manifest()
        notes = [self.newest, *self.open_kept(), *filter(self.is_signed, self.given)]
        self.marks = sorted({(note.size, note.root) for note in notes})
        # Whoever can change trail.toml could sign the others: they bound nothing.
        self.trusted_marks = sorted({(note.size, note.root) for note in notes if self.is_signed(note)})
        leaves = level_of(self.folder, 0, size)
        self.lines = lines.read_lines(self.folder, self.starts, size, leaves)
        self.unvouched = retired.check(self.folder, self.starts, self.lines, self.trust, size)
        for note in self.given:
            self.check_given(note, size)
        self.check_sealed(size)
        if self.kept_bad:
            raise self.kept_bad
        try:
            self.check_unsealed()
            self.check_durable()
            self.check_unrecorded(size)
        except Tampered as error:
            if error.until is not None or not self.has_rolled(error.first):
                raise
        gone = sum(end - first for first, end in self.lines.missing)
        return size - gone, self.lines.end() - size, gone

    def holds(self, mark):
        size, root = mark
        return size <= self.lines.end() and self.lines.tree.root(size) == root

    def is_signed(self, note):
        try:
            return check_signed(note, "a checkpoint given", self.trust)
        except Tampered:
            return None

    def check_given(self, note, size):
        check_signed(note, "the checkpoint given", self.trust)
        if note.size > size:
            raise Tampered("rollback", "the checkpoint given covers more events", size)
        larger = any(mark[0] >= note.size and self.holds(mark) for mark in self.marks)
        if larger and not self.holds((note.size, note.root)):
            raise Tampered("root_mismatch", "there are two histories", 0, note.size)

    def check_sealed(self, size):
        is_given = self.holds((size, self.newest.root))
        if self.unvouched and (is_given or self.lines.no_leaf is not None):
            index, is_segment = self.unvouched
            raise Unvouched("segment_missing" if is_segment else "missing",
                            "no event by a trusted key says that it was retired", index)
        if not is_given and self.lines.no_leaf is not None:
            raise Tampered("tree_missing", "the leaf hash of a retired line is not there")
        if not is_given:
            raise self.locate(size)
        check_tree(self.folder, self.lines.tree, size)
        for mark in self.marks:
            if mark[0] <= self.lines.end() and not self.holds(mark):
                raise Tampered("root_mismatch", f"a root is signed for {mark[0]} that the lines do not give",
                               0, mark[0])
        if self.lines.misfit and self.lines.misfit[0] < size:
            index, code, why = self.lines.misfit
            raise Tampered("line_too_long" if code == "line_too_long" else "edited", why, index)

    def check_unsealed(self):
        found, end = self.lines, self.lines.end()
        if found.misfit:
            index, code, why = found.misfit
            raise Tampered(code, why, index)
        if found.went_back is not None:
            raise Tampered("reordered", "it was recorded before the one before it", found.went_back)
        if found.stop or found.has_gap:
            raise Tampered(found.stop or "missing", "the lines end here", end)
        if self.marks[-1][0] > end:
            raise Tampered("missing", f"checkpoints/{self.marks[-1][0]} covers events that are not there", end)

    def check_unrecorded(self, size):
        """Lines that nothing signs, and that no writer can have left."""
        after_close = False
        for index, line in lines.readable(segments.lines(self.folder, self.starts)):
            if index + 1 < size:
                continue
            event = lines.event_of(line)
            action = event.get("action") if isinstance(event, dict) and lines.SYSTEM.match(line) else None
            if index >= size and after_close and action != "trail.opened":
                raise Tampered("inserted", f"event {index} follows trail.closed", index)
            if index >= size and event is None:
                if self.durable is not None and self.durable > index:
                    raise Tampered("durable_missing", "what was durable is torn", index, self.durable)
                return
            after_close = action == "trail.closed"

    def has_rolled(self, first):
        """Whether a writer has begun a segment meanwhile that makes lines void which were read."""
        now = segments.starts(self.folder)
        return any(start <= first and start not in self.starts for start in now)

    def check_durable(self):
        if self.durable is not None and self.durable > self.lines.end():
            raise Tampered("durable_missing", "events were durable that are not there",
                           self.lines.end(), self.durable)

    # Where it is wrong

    def locate(self, size):
        """What to raise if the lines do not give the signed root."""
        leaves, end = level_of(self.folder, 0, size), self.lines.end()
        trusted = self.trusted_to(leaves, size)
        different = first_difference(leaves, self.lines.tree.hashes(0, 0, min(size, end)))
        first = min(end if different is None else different, end)
        if first < trusted:
            code = self.how_they_end(first) if first == end else self.classify(first, leaves)
            return Tampered(code, "it is not the line that was signed", first)
        held, until = 0, size
        for mark in self.trusted_marks:
            if not self.holds(mark):
                until = mark[0]
                break
            held = mark[0]
        code = self.how_they_end(end) if end < until else "root_mismatch"
        return Tampered(code, "the lines do not give the signed root, and neither does the tree", held, until)

    def trusted_to(self, leaves, size):
        tree, trusted = merkle.Tree(), 0
        for mark, root in self.trusted_marks:
            if mark > size or 32 * mark > len(leaves):
                break
            for at in range(tree.size, mark):
                tree.append(leaves[32 * at:32 * at + 32])
            if tree.root(mark) != root:
                break
            trusted = mark
        return trusted

    def how_they_end(self, end):
        if self.lines.stop:
            return self.lines.stop
        named = list((self.folder / "segments").glob(f"{end:020}.*"))
        kept = end in [size for size, _ in self.kept]
        return "segment_missing" if end == 0 or named or kept else "missing"

    def classify(self, first, leaves):
        """What was done to the first event that is not the signed one, by the lines from there on."""
        def signed(index):
            return leaves[32 * index:32 * index + 32] if index is not None else b""

        window = []
        for index, line in lines.readable(segments.lines(self.folder, self.starts)):
            if index >= first:
                named, leaf = lines.front_of(line)[0], merkle.leaf_hash(line)
                window.append((named if signed(named) == leaf else None, leaf))
            if len(window) == WINDOW:
                break
        is_later = signed(first) in [leaf for _, leaf in window]
        here = window[0][0]
        if here is None:
            return "inserted" if is_later else "edited"
        if here < first:
            return "duplicated"
        next_is_there = len(window) > 1 and window[1][0] == first + 1
        return "reordered" if is_later or next_is_there else "missing"


def read_handoff(folder):
    try:
        with segments.open_file(folder / "handoff") as stream:
            return stream.read(4_096)
    except (Damaged, OSError):
        return b""


def durable_index(handoff, origin):
    if len(handoff) < 4_096 or handoff[:8] != b"TSHAND01" or handoff[24:32] != merkle.sha256(origin.encode())[:8]:
        return None
    return int.from_bytes(handoff[128:136], "little")


# Slots


def is_slot(path):
    name = re.fullmatch(r"0|[1-9]\d{0,3}", path.name, re.ASCII)
    return name and int(path.name) < 1024 and any((path / part).exists() for part in ("segments", "tree", "checkpoint"))


def trails_in(folder):
    """The folders of the trails; the folder itself, unless it is one of slots."""
    slots = sorted((path for path in folder.glob("*") if is_slot(path)), key=lambda path: int(path.name))
    return [folder] if (folder / "trail.toml").exists() or not slots else slots


def verify_all(folder, pinned, given):
    """The answer for each trail; those given count for the slot whose origin they name."""
    folders = trails_in(folder)
    if folders == [folder]:
        return [verify(folder, pinned, given)]
    answers = [verify(slot, [key for key in pinned if key.name == origin_of(slot)],
                      [note for note in given if note.origin == origin_of(slot)]) for slot in folders]
    numbers = [int(slot.name) for slot in folders]
    for number in sorted(set(range(numbers[-1])) - set(numbers)):
        answers.append(answer_of(Tampered("slot_missing", f"slot {number} is not there")))
    origins = [origin_of(slot) for slot in folders]
    for name in [*(key.name for key in pinned), *(note.origin for note in given)]:
        if name not in origins:
            answers.append(answer_of(Tampered("slot_missing", f"no slot is the trail {name}")))
    return answers


def origin_of(slot):
    try:
        return manifests.read(slot).origin
    except (Bad, OSError):
        return None


def answer_of(error):
    is_range = error.until is not None
    return {"ok": False, "problem": error.code, "first_bad": None if is_range else error.first,
            "range": [error.first, error.until] if is_range else None,
            "text": f"TAMPERED{error.place()}: {error}"}


def verify(folder, pinned, given):
    for _ in range(RETIREMENTS_MAX):
        trail = Trail(folder, pinned, given)
        try:
            sealed, unsealed, gone = trail.verify()
        except Tampered as error:
            # The event that retired them may be sealed only since the checkpoint was read.
            if isinstance(error, Unvouched) and newest_size(folder) > trail.newest.size:
                continue
            return answer_of(error)
        also = f" retired={gone}" if gone else ""
        return {"ok": True, "problem": None, "first_bad": None, "range": None, "sealed": sealed,
                "unsealed": unsealed, "retired": gone, "text": f"ok sealed={sealed} unsealed={unsealed}{also}"}
    raise Unusable(f"{folder} retires more and more while it is read")


def newest_size(folder):
    try:
        return read_note(folder / "checkpoint").size
    except (Bad, OSError):
        return -1


def main():
    parser = argparse.ArgumentParser(description="Checks a trail against its signed checkpoints.")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--public-key", metavar="KEY", action="append", default=[])
    parser.add_argument("--checkpoint", metavar="FILE", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        pinned = [checkpoint.read_key(key) for key in arguments.public_key]
        given = [checkpoint.parse_checkpoint(Path(file).read_bytes()) for file in arguments.checkpoint]
        answers = verify_all(arguments.folder, pinned, given)
    except (Bad, Unusable, OSError, UnicodeDecodeError) as error:
        print(f"unusable: {error}", file=sys.stderr)
        return 2
    for answer in answers:
        print(json.dumps(answer) if arguments.json else answer["text"])
    return 0 if all(answer["ok"] for answer in answers) else 1


if __name__ == "__main__":
    sys.exit(main())
