"""Takes the blocks of Python out of a document, applies their patches, runs them, and says which lines were
reached."""

from __future__ import annotations

import ast
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

HERE = Path(__file__).parent

#: The modules of the documents' applications that Trailseal replaces. Nothing else in a block is changed.
RENAMED = {
    "resync.core.audit_log": "trailseal.migrate.resync",
    "resync.core.audit_queue": "trailseal.migrate.resync",
    "utils.audit_logger": "trailseal.migrate.cloud_pms",
    "budapp.audit_ops": "trailseal.migrate.bud",
    "budapp.commons.constants": "trailseal.migrate.bud",
}


class PatchError(Exception):
    """A patch does not fit its block."""


@dataclass(frozen=True)
class Block:
    """One block of Python in a document."""

    document: str
    number: int
    text: str

    @property
    def name(self) -> str:
        return f"{self.document} block {self.number}"

    @property
    def patch_file(self) -> Path:
        return HERE / "patches" / self.document / f"block_{self.number:02}.patch"


@dataclass
class Patched:
    """A block as it is run."""

    text: str = ""
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    #: The line of the block that stands in each line of `text`, from 1; 0 for what was added.
    origin: list[int] = field(default_factory=list)


def blocks(document: str) -> list[Block]:
    """All blocks of Python in their order, with the modules renamed."""
    text = (HERE / "documents" / f"{document}.md").read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    for old, new in RENAMED.items():
        found = [re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", new, block) for block in found]
    return [Block(document, number, block) for number, block in enumerate(found, 1)]


def patch(text: str, diff: str) -> Patched:
    """Applies a unified diff."""
    old = text.splitlines()
    patched = Patched()
    lines: list[str] = []
    at = 0

    def keep(line: str, origin: int) -> None:
        lines.append(line)
        patched.origin.append(origin)

    for line in diff.splitlines():
        if line.startswith(("--- ", "+++ ")):
            continue
        header = re.match(r"@@ -(\d+)(,\d+)? ", line)
        if header:
            begin = int(header[1])
            # A hunk of no old lines names the line before it.
            begin = begin if header[2] == ",0" else begin - 1
            if not at <= begin <= len(old):
                raise PatchError(f"{line!r} is not in order")
            for number in range(at, begin):
                keep(old[number], number + 1)
            at = begin
        elif line.startswith("+"):
            keep(line[1:], 0)
            patched.added.append(line[1:])
        else:
            wanted = line[1:]
            if at >= len(old) or old[at] != wanted:
                raise PatchError(f"line {at + 1} is not {wanted!r}")
            at += 1
            if line.startswith("-"):
                patched.removed.append(wanted)
            else:
                keep(wanted, at)
    for number in range(at, len(old)):
        keep(old[number], number + 1)
    patched.text = "\n".join(indented(lines)) + "\n"
    return patched


def indented(lines: list[str]) -> Iterator[str]:
    """What stands between `#: in DEF:` and `#: out` becomes the body of that function."""
    indentation = ""
    for line in lines:
        if line.startswith("#: in "):
            indentation = "    "
            yield line.removeprefix("#: in ")
        elif line == "#: out":
            indentation = ""
            yield ""
        else:
            yield indentation + line if line else line


def is_completed(removed: str, added: list[str]) -> bool:
    """Whether what was taken away came back with values for its `...`."""
    before, dots, after = removed.partition("...")
    if not dots:
        return False
    text = "\n".join(added)
    at = text.find(before)
    return at >= 0 and after in text[at + len(before) :]


@dataclass
class Run:
    """A block that was loaded, and what of it was reached so far."""

    block: Block
    patched: Patched
    code: CodeType
    module: ModuleType
    reached: set[int] = field(default_factory=set)

    def unreached(self) -> list[int]:
        """The block's own lines that hold code and were never reached."""
        bodies = {line for code in all_code(self.code) for _, _, line in code.co_lines() if line}
        beginnings = {node.lineno for node in ast.walk(ast.parse(self.patched.text)) if isinstance(node, ast.stmt)}
        missing = (bodies & beginnings) - self.reached
        return sorted(self.patched.origin[line - 1] for line in missing if self.patched.origin[line - 1])


def all_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from all_code(constant)


@contextmanager
def loaded(block: Block, **names: Any) -> Iterator[Run]:
    """Runs the block as a module that already knows `names`, and watches its lines until the end of the `with`."""
    patched = patch(block.text, block.patch_file.read_text(encoding="utf-8"))
    file = f"<{block.name}>"
    module = ModuleType(f"document_{block.document}_block_{block.number}")
    module.__dict__.update(names, __file__=file)
    run = Run(block, patched, compile(patched.text, file, "exec", dont_inherit=True), module)

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != file:
            return None
        if event == "line":
            run.reached.add(frame.f_lineno)
        return watch

    sys.modules[module.__name__] = module
    before, before_of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(watch)
    threading.settrace(watch)
    try:
        exec(run.code, module.__dict__)
        yield run
    finally:
        sys.settrace(before)
        threading.settrace(before_of_threads)
        del sys.modules[module.__name__]
