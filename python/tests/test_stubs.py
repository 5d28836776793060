"""The stubs say what is there when it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# What a stub cannot say as the native part has it: a class that nobody makes by calling it, a constructor that checks
# its own keywords, and the list of names, which the package imports one by one.
ALLOWED = r"""
trailseal\._trailseal\.__all__
trailseal\._trailseal\.Trail
trailseal\._trailseal\.Trail\.__new__
trailseal\._trailseal\.RequestContext\.__new__
"""


def test_the_native_part_is_as_its_stubs_say(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed.txt"
    allowed.write_text(ALLOWED)
    command = [sys.executable, "-P", "-m", "mypy.stubtest", "trailseal._trailseal", "--allowlist", str(allowed)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
