"""One folder, opened once: whoever asks for it in this process gets the same trail."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from conftest import PATIENCE, until

from trailseal import OpenError, Trail


def test_the_same_trail_is_given_again(tmp_path: Path) -> None:
    trail = Trail.open(tmp_path / "trail")
    assert Trail.open(str(tmp_path / "trail")) is trail

    class Own(Trail):
        pass

    own = Own.open(tmp_path / "trail")
    assert type(own) is Own and own.record("own").origin == trail.origin
    trail.close()
    assert own.is_closed
    with Trail.open(tmp_path / "trail") as again:
        assert again is not trail and again.count() == 1


def test_a_link_leads_to_the_same_trail(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with Trail.open(tmp_path / "link" / "trail") as trail:
        assert trail.dir == tmp_path / "link" / "trail", "the folder is shown as it was named"
        assert Trail.open(tmp_path / "real" / "trail") is trail
        assert Trail.open(tmp_path / "real" / ".." / "link" / "trail") is trail
        with pytest.raises(OpenError, match="open in this process with other settings"):
            Trail.open(tmp_path / "real" / "trail", mode="sync")


def test_a_folder_of_slots_is_not_made_one_trail(tmp_path: Path) -> None:
    with Trail.open(tmp_path / "trail", workers="slots") as slots:
        slots.record("kept")
    with pytest.raises(OpenError, match='workers = "slots"'):
        Trail.open(tmp_path / "trail")
    with Trail.open(tmp_path / "trail", workers="slots") as again:
        assert [event["action"] for event in again.query()] == ["kept"]


@pytest.mark.parametrize("workers", ["one", "slots"])
def test_threads_that_open_at_once_get_the_same_trail(tmp_path: Path, workers: str) -> None:
    opened: list[Trail] = []
    failed: list[BaseException] = []
    begin = threading.Barrier(16)

    def open_it() -> None:
        begin.wait()
        try:
            trail = Trail.open(tmp_path / "trail", workers=workers)  # type: ignore[arg-type]
            trail.record("opened")
            opened.append(trail)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    assert len({id(trail) for trail in opened}) == 1
    assert opened[0].count() == 16
    opened[0].close()


def test_a_temporary_trail_takes_the_keywords_of_open(tmp_path: Path) -> None:
    config = tmp_path / "trailseal.toml"
    config.write_text('[mask]\nkeys = ["iban"]\n')
    kept = tmp_path / "kept"
    with Trail.temporary(config=config, warm_up=True, workers="slots", anchors=[{"file": str(kept)}]) as trail:
        trail.record("invoice.pay", details={"iban": "DE1"})
        assert next(trail.query())["details"] == {"iban": "***"}
        assert trail.seal(PATIENCE)
    until("the checkpoint at the anchor", lambda: kept.exists() and bool(kept.read_text()))


def test_an_opening_that_fails_is_in_nobody_s_way(tmp_path: Path) -> None:
    Trail.open(tmp_path / "trail", workers="slots", warm_up=True).close()
    ended = threading.Event()
    failures: list[str] = []

    def fail() -> None:
        while not ended.is_set():
            try:
                Trail.open(tmp_path / "trail").close()
            except OpenError as error:
                failures.append(str(error))

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            Trail.open(tmp_path / "trail", workers="slots").close()
        until("an opening that fails", lambda: bool(failures))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
