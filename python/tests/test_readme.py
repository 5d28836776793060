"""The examples of the README and the guide, as they stand, in an environment that has nothing but the package."""

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from conftest import FRAMEWORKS, PATIENCE, complaints

PYTHON = Path(__file__).parent.parent
PAGES = [PYTHON / "README.md", PYTHON.parent / "docs" / "python.md"]
ALL = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]
BLOCKS = [block for block in ALL if not FRAMEWORKS.search(block)]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    wheels = sorted((PYTHON.parent / "target" / "wheels").glob("trailseal-*.whl"), key=lambda wheel: wheel.stat().st_mtime)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", str(wheels[-1])]
    subprocess.run(install, check=True)
    return python


@pytest.mark.parametrize("place", range(len(BLOCKS)))
def test_block(fresh: Path, tmp_path: Path, place: int) -> None:
    block = BLOCKS[place]
    # A fragment begins like the first example.
    text = block if "import Trail" in block else BLOCKS[0].splitlines()[0] + "\n" + block
    (tmp_path / "example.py").write_text(text)
    ended = subprocess.run([fresh, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0 and not complaints(ended.stderr), ended


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 6
