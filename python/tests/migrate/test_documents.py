"""Every Python example of documents 000 to 003 runs against `trailseal.migrate`, or stands in `left-out.txt`
with the reason."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from dataclasses import dataclass

import pytest

from migrate.blocks import HERE, Block, PatchError, blocks, is_completed, loaded, patch
from migrate.world import World

#: The documents, and the SHA-256 of each as it was published.
DOCUMENTS = {
    "000": "c1858eb9529604e727295905b5425c0bba8bdfa6b2d1dfe25515f1e0238342a1",
    "001": "2f993d47a76f65803fc7b4f8e2b2efc81f5e9ee61af4a6d44115a8e79c7795af",
    "002": "4dcd622094fff8eba419ba5d8d9839402ccff45a5963748affdc4f9fe5d9282d",
    "003": "af1f6b7d7cab01ce4aadbe344f93ffa29bf02d42da95d207573ef903ad273681",
}
ALL = [block for document in DOCUMENTS for block in blocks(document)]


@dataclass(frozen=True)
class LeftOut:
    """A block, or a line of one, that is not run."""

    document: str
    number: int
    line: int | None
    reason: str


def left_out() -> list[LeftOut]:
    found = []
    for text in (HERE / "left-out.txt").read_text(encoding="utf-8").splitlines():
        document, place, reason = text.split(" ", 2)
        number, _, line = place.partition(":")
        found.append(LeftOut(document, int(number), int(line) if line else None, reason))
    return found


RUN = [block for block in ALL if block.patch_file.exists()]


@pytest.mark.parametrize(
    ("block", "world"), [(block, block.document) for block in RUN], indirect=["world"], ids=lambda value: (
        value.name.replace(" ", "-") if isinstance(value, Block) else None
    )
)  # fmt: skip
def test_a_block_runs(block: Block, world: World) -> None:
    with loaded(block) as run:
        done = run.module.run(world)
        if inspect.isawaitable(done):
            asyncio.run(done)  # type: ignore[arg-type]
    allowed = [one.line for one in left_out() if (one.document, one.number) == (block.document, block.number)]
    missing = [line for line in run.unreached() if line not in allowed]
    lines = block.text.splitlines()
    assert not missing, "never reached:\n" + "\n".join(f"{line}: {lines[line - 1]}" for line in missing)
    reached = [line for line in allowed if line not in run.unreached()]
    assert not reached, f"left out, and reached: {reached}"


def test_the_documents_are_as_they_were_published() -> None:
    for document, expected in DOCUMENTS.items():
        held = (HERE / "documents" / f"{document}.md").read_bytes()
        assert hashlib.sha256(held).hexdigest() == expected, f"{document}.md was changed"


def test_every_block_is_run_or_left_out_for_a_reason() -> None:
    reasons = {(one.document, one.number): one.reason for one in left_out() if one.line is None}
    for document in DOCUMENTS:
        text = (HERE / "documents" / f"{document}.md").read_text(encoding="utf-8")
        assert len(blocks(document)) == text.count("```python") > 0
    for block in ALL:
        reason = reasons.pop((block.document, block.number), None)
        if reason is not None:
            assert len(reason.split()) > 3, f"{block.name} is left out without a reason"
            assert not block.patch_file.exists(), f"{block.name} is left out, and has a patch"
            print(f"{block.name:13}: left out: {reason}")
            continue
        assert block.patch_file.exists(), f"{block.name} is neither run nor left out"
        patched = patch(block.text, block.patch_file.read_text(encoding="utf-8"))
        assert any(line.startswith(("def run(", "async def run(")) for line in patched.added), block.name
        for removed in patched.removed:
            assert is_completed(removed, patched.added), f"{block.name} loses {removed!r}"
        print(
            f"{block.name:13}: {len(block.text.splitlines()):3} lines, {len(patched.added):2} added, "
            f"{len(patched.removed)} completed"
        )
    assert not reasons, f"left out, and not there: {reasons}"
    known = {block.patch_file for block in ALL}
    assert not [file for file in HERE.glob("patches/*/*") if file not in known]
    assert all(len(one.reason.split()) > 3 for one in left_out())


def test_a_patch_that_takes_something_away_is_found() -> None:
    added = ['    log(db, {"yacht_id": "y"})', "async def create():"]
    assert is_completed("    log(db, {...})", added)
    assert not is_completed("    log(db)", added)
    assert not is_completed("    verify(...)", added)
    with pytest.raises(PatchError):
        patch("a\nb\n", "@@ -1,1 +1,1 @@\n-c\n+d\n")
    patched = patch("a\nb\n", "@@ -0,0 +1,1 @@\n+c\n@@ -2 +3 @@\n-b\n+d\n")
    assert (patched.text, patched.origin) == ("c\na\nd\n", [0, 1, 0])


def test_a_line_that_is_not_reached_is_found(tmp_path: object) -> None:
    from migrate.blocks import Patched, Run, all_code

    patched = Patched(text="x = 1\nif x == 2:\n    y = 3\n", origin=[1, 2, 3])
    code = compile(patched.text, "<a block>", "exec")
    run = Run(ALL[0], patched, code, None, reached={1, 2})  # type: ignore[arg-type]
    assert run.unreached() == [3]
    assert list(all_code(code)) == [code]


def test_a_body_is_put_into_a_function() -> None:
    patched = patch("return 1\n", "@@ -0,0 +1 @@\n+#: in def f():\n@@ -1,0 +3 @@\n+#: out\n")
    assert patched.text == "def f():\n    return 1\n\n"
