"""Checks a bundle (`trailseal export --format bundle`, `trailseal retain --archive`): that each line in it is genuine.

It looks at what the zip's directory names, as most tools do; `trailseal verify --bundle` also refuses what is not
laid out byte for byte as bundles are. Prints `ok lines=N` and exits 0; `NOT PROVED: why` and 1; 2 for unusable
input."""

import argparse
import json
import re
import subprocess
import sys
import zipfile

import checkpoint
import merkle
from checkpoint import Bad

FORMAT = "trailseal-bundle@v1"
MEMBERS = ["lines.jsonl", "proofs.jsonl", "checkpoint", "public-key"]
PACKED = "lines.jsonl.zst"
# The same lines with personal values in plain, which nothing proves.
SHOWN = "personal.jsonl"
TOKEN = re.compile(
    rb'(?<=[:,\[])"erasable:[0-9a-f]{8}-(?:0|[1-9a-f][0-9a-f]{0,15}):[A-Za-z0-9_-]{39,}(?::hmac:[0-9a-f]{8}:[0-9a-f]{32})?"(?!:)'
)


def verify(bundle, pinned):
    manifest = json.loads(bundle.read("manifest.json"))
    if manifest["format"] != FORMAT or not manifest["origins"]:
        raise Bad(f"not a bundle of the form {FORMAT}")
    count = len(manifest["origins"])
    wanted = [f"{folder}/{name}" for folder in range(count) for name in members_of(bundle, folder)]
    if bundle.namelist() != [*wanted, "manifest.json"] or set(manifest["members"]) != set(wanted):
        raise Bad("it has other members than its manifest says")
    for name in wanted:
        if merkle.sha256(bundle.read(name)).hex() != manifest["members"][name]["sha256"]:
            raise Bad(f"{name} is not what the manifest says")
    lines, origins = 0, set()
    for folder, told in enumerate(manifest["origins"]):
        signed, found = verify_origin(bundle, folder, pinned)
        described = {"origin": signed.origin, "folder": str(folder), "count": found, "tree_size": signed.size}
        if told != described or signed.origin in origins:
            raise Bad(f"folder {folder} is not what the manifest says")
        origins.add(signed.origin)
        lines += found
    if manifest["count"] != lines:
        raise Bad("it has more or fewer lines than its manifest says")
    return lines


def verify_origin(bundle, folder, pinned):
    """The checkpoint, and how many lines are under it."""
    signed = checkpoint.parse_checkpoint(bundle.read(f"{folder}/checkpoint"))
    named = checkpoint.parse_key(bundle.read(f"{folder}/public-key").decode().strip())
    trust = checkpoint.Trust(signed.origin, pinned or [named], signed.signatures)
    if trust.has_two_histories():
        raise Bad("one key vouched for two")
    checkpoint.check_signature(signed, trust)
    lines = split(read_lines(bundle, folder))
    proofs = [json.loads(proof) for proof in split(bundle.read(f"{folder}/proofs.jsonl"))]
    indexes = [proof["index"] for proof in proofs]
    if len(lines) != len(proofs) or indexes != sorted(set(indexes)):
        raise Bad("proofs are missing, or not in their order")
    for line, proof in zip(lines, proofs):
        path = [checkpoint.decode_base64(sibling) for sibling in proof["hashes"]]
        leaf, index = merkle.leaf_hash(line), proof["index"]
        if index >= signed.size or merkle.root_of_proof(leaf, index, signed.size, path) != signed.root:
            raise Bad(f"a line is not event {index} of what was signed")
    if f"{folder}/{SHOWN}" in bundle.namelist():
        shown = split(bundle.read(f"{folder}/{SHOWN}"))
        if len(shown) != len(lines) or not all(map(is_shown, lines, shown)):
            raise Bad("a line with personal values in plain is not the one that is proved")
    return signed, len(lines)


def members_of(bundle, folder):
    """In archives the lines are compressed. Some bundles also have them with personal values in plain."""
    is_packed = f"{folder}/{PACKED}" in bundle.namelist()
    shown = [SHOWN] if f"{folder}/{SHOWN}" in bundle.namelist() else []
    return [PACKED if is_packed else MEMBERS[0], *MEMBERS[1:], *shown]


def is_shown(line, shown):
    """Whether `shown` is `line` with any JSON value in place of each personal value."""
    decoder, at = json.JSONDecoder(), 0
    shown = shown.decode()
    pieces = [piece.decode() for piece in TOKEN.split(line)]
    for piece in pieces[:-1]:
        if not shown.startswith(piece, at):
            return False
        try:
            at = decoder.raw_decode(shown, at + len(piece))[1]
        except ValueError:
            return False
    return shown[at:] == pieces[-1]


def read_lines(bundle, folder):
    name = members_of(bundle, folder)[0]
    data = bundle.read(f"{folder}/{name}")
    if name != PACKED:
        return data
    if data[:4] != b"\x28\xb5\x2f\xfd":
        raise Bad("compressed lines do not begin with a zstd frame")
    try:
        process = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True)
    except FileNotFoundError:
        raise OSError("the lines are compressed, and there is no `zstd` command to read them") from None
    if process.returncode:
        raise Bad("compressed lines are damaged")
    return process.stdout


def split(data):
    lines = data.split(b"\n")
    if lines.pop():
        raise Bad("a last line does not end")
    return lines


def main():
    parser = argparse.ArgumentParser(description="Checks a bundle.")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--public-key", metavar="KEY", action="append", default=[])
    arguments = parser.parse_args()
    try:
        pinned = [checkpoint.read_key(key) for key in arguments.public_key]
        with zipfile.ZipFile(arguments.file) as bundle:
            print(f"ok lines={verify(bundle, pinned)}")
    except OSError as error:
        print(f"unusable: {error}", file=sys.stderr)
        return 2
    except (Bad, KeyError, TypeError, ValueError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        print(f"NOT PROVED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
