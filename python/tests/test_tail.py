"""Events as they come."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from conftest import PATIENCE, PATIENT, until

from trailseal import Trail


def test_a_slow_reader_gets_all_in_their_order_from_all_slots(tmp_path: Path) -> None:
    with Trail.open(tmp_path / "t", workers="slots", handoff_size="4MiB", **PATIENT) as trail:
        trail.record("before")
        following = trail.tail(1, follow=True, poll_seconds=0.01, action="a")
        first = threading.Event()
        found: list[int] = []

        def read() -> None:
            for event in following:
                found.append(event["details"]["n"])
                first.set()

        reader = threading.Thread(target=read, daemon=True)
        trail.record("a", details={"n": 0})
        reader.start()
        assert first.wait(PATIENCE)
        for number in range(1, 2_000):
            trail.record("a", details={"n": number})
            trail.record("b")
        until("all events", lambda: len(found) == 2_000)
        assert found == list(range(2_000))
    reader.join(PATIENCE)
    assert not reader.is_alive(), "it ends when the trail is closed"


def test_a_slow_reader_leaves_what_it_has_not_read_in_the_trail(tmp_path: Path, run: Any) -> None:
    ended = run(
        """
        trail = Trail.open("t", handoff_size="16MiB", disk_reserve="0", mask_enabled=False)
        following = trail.tail(0, follow=True, poll_seconds=0.01, action="a")

        def resident() -> int:
            text = open("/proc/self/statm").read()
            return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

        text = "x" * 60_000
        for part in range(3):
            for number in range(1_000):
                trail.record("a", details={"n": number, "text": text})
            assert trail.flush(180)
            if part == 0:
                next(following)
                before = resident()
        next(following)
        # It goes on to look for more only when these are taken.
        for number in range(999):
            next(following)
        print(resident() - before)
        assert next(following)["details"]["n"] == 1
        trail.close()
        """
    )
    assert ended.returncode == 0, ended
    # The 120 MB of the two later parts are not in memory.
    assert int(ended.stdout) < 60, ended.stdout
