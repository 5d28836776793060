"""Checks a trail's folder against its signed checkpoints, written from docs/format.md alone.

Prints `ok sealed=N unsealed=M` and exits 0; `TAMPERED at index N: why` (or `TAMPERED in N..M: why`, or
`TAMPERED: why` if no event can be named) and 1; 2 for unusable input."""

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import checkpoint
import merkle
from checkpoint import Bad

FRONT = re.compile(
    rb'\{"v":1,"index":(0|[1-9]\d*),"recorded":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)",')
LONGEST_LINE = 65_535
SEGMENT_NAME = re.compile(r"(\d{20})\.jsonl(?:\.zst)?", re.ASCII)
TILE_NAME = re.compile(r"(0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


class Tampered(Exception):
    def __init__(self, why, first=None, end=None):
        place = "" if first is None else f" in {first}..{end}" if end else f" at index {first}"
        super().__init__(f"TAMPERED{place}: {why}")


class Unusable(Exception):
    pass


# The lines


def segment_lines(folder, start):
    """The segment's lines, each with its line break; what stands after the last one is left out."""
    plain = folder / "segments" / f"{start:020}.jsonl"
    try:
        with plain.open("rb") as stream:
            yield from (line for line in stream if line.endswith(b"\n"))
    except FileNotFoundError:
        # Looked for second, because a writer removes the plain file once the compressed one is whole.
        yield from decompressed_lines(plain.with_suffix(".jsonl.zst"))


def decompressed_lines(path):
    try:
        process = subprocess.Popen(["zstd", "-dcq", "--", path], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Unusable(f"{path} is compressed, and there is no `zstd` command to read it") from None
    with process:
        yield from (line for line in process.stdout if line.endswith(b"\n"))
    if process.returncode:
        raise Bad("its compressed segment is damaged")


def all_lines(folder):
    """Every line that counts, without its line break, and the index of its place."""
    names = [SEGMENT_NAME.fullmatch(path.name) for path in (folder / "segments").glob("*")]
    starts = sorted({int(name[1]) for name in names if name})
    index = 0
    for start, end in zip(starts, [*starts[1:], None]):
        if index < start:
            raise Bad("it is missing, and so is all up to the next segment")
        for line in segment_lines(folder, start):
            # The next segment's name bounds this one: a failed write may have left lines behind.
            if index == end:
                break
            yield index, line[:-1]
            index += 1


def check_front(index, line, recorded_before):
    front = FRONT.match(line)
    if not front or len(line) > LONGEST_LINE:
        raise Bad("it is too long" if front else "it does not begin as a line must")
    if int(front[1]) != index:
        raise Bad(f"event {int(front[1])} stands in its place")
    if front[2] < recorded_before:
        raise Bad("it was recorded before the one before it")
    return front[2]


def read_lines(folder):
    """The tree of the lines up to the first flaw that shows without a signature, and that flaw."""
    tree, recorded = merkle.Tree(), b""
    try:
        for index, line in all_lines(folder):
            recorded = check_front(index, line, recorded)
            tree.append(merkle.leaf_hash(line))
    except Bad as error:
        return tree, Tampered(f"event {tree.size}: {error}", tree.size)
    return tree, None


# The tiles


def tile_path(folder, level, number):
    digits = f"{number:0{-(-len(str(number)) // 3) * 3}}"
    groups = re.findall("...", digits)
    return folder / "tile" / str(level) / "/".join(["x" + group for group in groups[:-1]] + groups[-1:])


def find_tile(folder, level, number, width):
    """The file that holds this tile or, as a writer may have outgrown it, a wider one with the same start."""
    full = tile_path(folder, level, number)
    partial = full.with_name(f"{full.name}.p").glob("*")
    widths = [int(path.name) for path in partial if path.name.isdecimal() and int(path.name) >= width]
    # The full tile is looked for last: it is there before the partial ones go.
    return full.with_name(f"{full.name}.p") / str(min(widths)) if widths else full if full.exists() else None


def tiles_of_size(size):
    """Level, number and width of every tile that a tree of this size has."""
    for level in range((size.bit_length() + 7) // 8):
        full, rest = divmod(size >> 8 * level, 256)
        yield from ((level, number, 256) for number in range(full))
        if rest:
            yield level, full, rest


def check_tiles(folder, tree, newest):
    for level, number, width in tiles_of_size(newest.size):
        if not find_tile(folder, level, number, width):
            why = f"{tile_path(folder, level, number)} is missing for {width} hashes"
            raise Tampered(why, number << 8 * level + 8)
    for path in sorted((folder / "tile").rglob("*")):
        name = TILE_NAME.fullmatch(path.relative_to(folder / "tile").as_posix())
        if name and path.is_file():
            number, width = int(re.sub("[x/]", "", name[2])), int(name[3] or 256)
            check_tile(path, tree, newest.size, int(name[1]), number, width)


def check_tile(path, tree, size, level, number, width):
    # Hashes past the signed size may be there, but nothing signs them.
    count = min(width, (size >> 8 * level) - 256 * number)
    if count <= 0:
        return
    try:
        found, right = path.read_bytes(), tree.hashes(8 * level, 256 * number, count)
    except FileNotFoundError:
        return  # outgrown meanwhile
    if len(found) != 32 * width or not found.startswith(right):
        wrong = (i for i in range(count) if found[32 * i:32 * i + 32] != right[32 * i:32 * i + 32])
        first = 256 * number + next(wrong, 0)
        raise Tampered(f"{path} is not what the lines give", first << 8 * level)


def tree_of_tiles(folder, size):
    """The tree that the leaf hashes in the tiles give, as far as they are there."""
    tree = merkle.Tree()
    for level, number, width in tiles_of_size(size):
        path = find_tile(folder, level, number, width)
        if level or not path:
            break
        data = path.read_bytes()[:32 * width]
        for at in range(0, len(data) - 31, 32):
            tree.append(data[at:at + 32])
    return tree


# The checkpoints


def read_settings(folder):
    """The trail's origin, and the keys that its trail.toml names."""
    path = folder / "trail.toml"
    if not path.exists():
        if (folder / "segments").exists() or (folder / "checkpoint").exists():
            raise Tampered("trail.toml is missing")
        raise Unusable(f"{folder} holds no trail")
    try:
        settings = tomllib.loads(path.read_text())
        if settings["format"] != 1:
            raise Bad(f"it is of format {settings['format']}, and this verifier knows format 1")
        return settings["origin"], [checkpoint.parse_key(key["public_key"]) for key in settings["key"]]
    except (KeyError, TypeError, ValueError) as error:
        raise Tampered(f"trail.toml is damaged: {error}") from None


def check_signed(signed, origin, keys, what):
    if signed.origin != origin:
        raise Tampered(f"{what} is of another trail")
    try:
        checkpoint.check_signature(signed, keys)
    except Bad as error:
        raise Tampered(f"{what}: {error}") from None
    return signed


def read_signed(path, origin, keys, what):
    try:
        return check_signed(checkpoint.parse_checkpoint(path.read_bytes()), origin, keys, what)
    except FileNotFoundError:
        raise Tampered(f"{what} is not there") from None
    except Bad as error:
        raise Tampered(f"{what}: {error}") from None


def read_kept(folder, origin, keys):
    """Of each file in `checkpoints/`, smallest size first: the size, the checkpoint, what is wrong."""
    for size in sorted(int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdecimal()):
        what = f"checkpoints/{size}"
        try:
            signed = read_signed(folder / what, origin, keys, what)
            yield size, signed, None if signed.size == size else Tampered(f"{what} is of another size")
        except Tampered as problem:
            yield size, None, problem


def check_kept(kept, tree):
    for size, signed, problem in kept:
        if problem:
            raise problem
        if size > tree.size:
            raise Tampered(f"checkpoints/{size} covers events that are not there", tree.size)
        if tree.root(size) != signed.root:
            raise Tampered(f"checkpoints/{size} has another root than the lines")


# The lines against what is signed


def locate(folder, tree, flaw, newest, kept):
    """What to raise if the lines do not give the signed root: the first bad event, or a range."""
    signed_tree = tree_of_tiles(folder, newest.size)
    if signed_tree.size == newest.size and signed_tree.root(newest.size) == newest.root:
        for index in range(min(tree.size, newest.size)):
            if tree.hashes(0, index, 1) != signed_tree.hashes(0, index, 1):
                return Tampered("the line is not the one that was signed", index)
        return flaw or Tampered("the line was signed, and is missing", tree.size)
    signed_roots = [(size, signed.root) for size, signed, problem in kept if not problem and size < newest.size]
    good = max((size for size, root in signed_roots if size <= tree.size and tree.root(size) == root), default=0)
    bad = min((size for size, _ in signed_roots if size > good), default=newest.size)
    return Tampered("the lines do not give the signed root", good, bad)


def verify(folder, pinned, given):
    origin, named = read_settings(folder)
    newest = read_signed(folder / "checkpoint", origin, pinned or named, "the newest checkpoint")
    for signed in given:
        check_signed(signed, origin, pinned or named, "the checkpoint given")
        if signed.size > newest.size:
            raise Tampered(f"the trail was set back: the checkpoint given covers {signed.size} events", newest.size)
    # Read before the lines: a writer that goes on meanwhile then seals nothing that is not read.
    kept = list(read_kept(folder, origin, pinned + named))
    tree, flaw = read_lines(folder)
    if tree.size < newest.size or tree.root(newest.size) != newest.root:
        raise locate(folder, tree, flaw, newest, kept)
    if any(tree.root(signed.size) != signed.root for signed in given):
        raise Tampered("the checkpoint given has another root than the lines")
    if flaw:
        raise flaw
    check_tiles(folder, tree, newest)
    check_kept(kept, tree)
    return newest.size, tree.size - newest.size


def main():
    parser = argparse.ArgumentParser(description="Checks a trail against its signed checkpoints.")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--public-key", metavar="KEY", action="append", default=[])
    parser.add_argument("--checkpoint", metavar="FILE", action="append", default=[])
    arguments = parser.parse_args()
    try:
        pinned = [checkpoint.read_key(key) for key in arguments.public_key]
        given = [checkpoint.parse_checkpoint(Path(file).read_bytes()) for file in arguments.checkpoint]
        sealed, unsealed = verify(arguments.folder, pinned, given)
    except Tampered as error:
        print(error)
        return 1
    except (Bad, Unusable, OSError, UnicodeDecodeError) as error:
        print(f"unusable: {error}", file=sys.stderr)
        return 2
    print(f"ok sealed={sealed} unsealed={unsealed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
