"""Forks, spawns, and the ends of processes: nothing that was accepted is lost, and nothing is there twice."""

import http.client
import os
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE, PATIENT, complaints, lines, recovered, until

import trailseal
from trailseal import Trail

SETTINGS: dict[str, Any] = {"handoff_size": "4MiB", "environment": False, **PATIENT}
ROUNDS = int(os.environ.get("TRAILSEAL_ROUNDS", "4"))


def all_slots(dir: Path) -> list[dict[str, Any]]:
    """The lines of all slots, after they were recovered and verified."""
    found = []
    slots = sorted((path for path in dir.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    for slot in slots:
        found += recovered(slot)
    return found


def in_child(work: Any) -> None:
    """Runs work in a forked child, which must end well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_forked_child_without_slots_is_told(tmp_path: Path) -> None:
    trail = Trail.open(tmp_path / "t", **SETTINGS)
    trail.record("parent")

    def child() -> None:
        with pytest.raises(trailseal.ForkedError, match="slots"):
            trail.record("child")
        assert trail.flush()
        trail.close()

    in_child(child)
    trail.record("parent", ack="durable")
    trail.close()
    assert len(lines(tmp_path / "t")) == 2


def test_a_forked_child_takes_a_slot_of_its_own(tmp_path: Path) -> None:
    trail = Trail.open(tmp_path / "t", workers="slots", origin="example.com/app", **SETTINGS)
    assert not (tmp_path / "t").exists(), "a slot is taken when it is needed"
    trail.record("parent", ack="durable")

    def child() -> None:
        assert trail.record("child", ack="durable").origin.endswith("/1")

        def grandchild() -> None:
            assert trail.record("grandchild").origin.endswith("/2")
            trail.close()

        in_child(grandchild)
        assert trail.count(action=["child", "parent", "grandchild"]) == 3

    in_child(child)
    assert trail.record("parent").origin.endswith("/0")
    # The slots of the dead are found again.
    in_child(lambda: trail.record("child", ack="durable").origin.endswith("/1") or os._exit(3))
    trail.close()
    assert Counter(line["action"] for line in all_slots(tmp_path / "t")) == {
        "parent": 2,
        "child": 2,
        "grandchild": 1,
    }
    verdict = trail.verify()
    assert verdict["ok"] and len(verdict["trails"]) == 3


def test_warm_up_takes_the_slot_at_the_fork(tmp_path: Path) -> None:
    trail = Trail.open(tmp_path / "t", workers="slots", warm_up=True, **SETTINGS)
    assert (tmp_path / "t" / "0").exists()
    in_child(lambda: (tmp_path / "t" / "1" / "trail.toml").exists() or os._exit(3))
    trail.close()


def test_forks_while_others_record(tmp_path: Path) -> None:
    trail = Trail.open(tmp_path / "t", workers="slots", **SETTINGS)
    trail.record("first")
    ends = threading.Event()
    ids: list[str] = []

    def record() -> None:
        while not ends.is_set():
            ids.append(trail.record("thread", details={"n": len(ids)}).id)

    threads = [threading.Thread(target=record) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            in_child(lambda: trail.record("child", ack="durable").is_kept or os._exit(3))
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    trail.close()
    counted = Counter(line["action"] for line in all_slots(tmp_path / "t"))
    assert counted["child"] == 10 and counted["thread"] == len(ids) == len(set(ids))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(tmp_path: Path, method: str) -> None:
    (tmp_path / "work.py").write_text(
        textwrap.dedent(
            """
            import multiprocessing, sys
            from trailseal import Trail

            def work(trail, n):
                trail.record("child", details={"n": n}, ack="durable")

            if __name__ == "__main__":
                trail = Trail.open("t", workers="slots", handoff_size="4MiB")
                trail.record("parent", ack="durable")
                context = multiprocessing.get_context(sys.argv[1])
                children = [context.Process(target=work, args=(trail, n)) for n in range(3)]
                for child in children:
                    child.start()
                for child in children:
                    child.join()
                    assert child.exitcode == 0
            """
        )
    )
    command = [sys.executable, "work.py", method]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=PATIENCE)
    assert Counter(line["action"] for line in all_slots(tmp_path / "t")) == {"parent": 1, "child": 3}


ENDS: dict[str, str] = {
    "return": "",
    "exit": "sys.exit(0)",
    "exception": "raise ValueError",
    "os._exit": "os._exit(0)",
    "sigterm": "import signal; os.kill(os.getpid(), signal.SIGTERM)",
    "sigkill": "import signal; os.kill(os.getpid(), signal.SIGKILL)",
    "abort": "os.abort()",
    "execv": "os.execv('/bin/true', ['true'])",
    "cycle": "class Holder: pass\nholder = Holder(); holder.self = holder; holder.trail = trail; del trail",
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end(tmp_path: Path, run: Any, end: str) -> None:
    program = """
trail = Trail.open("t", handoff_size="4MiB")
for n in range(500):
    trail.record("a", details={"n": n})
"""
    ended = run(program + ENDS[end])
    text = "\n".join(path.read_text() for path in (tmp_path / "t").glob("segments/*.jsonl"))
    closes = end in ("return", "exit", "exception", "cycle")
    assert ("trail.closed" in text) == closes, ended
    assert not any("trailseal:" in line for line in complaints(ended.stderr)), ended
    assert [line["details"]["n"] for line in recovered(tmp_path / "t")] == list(range(500))


def test_what_later_handlers_and_destructors_record_is_taken(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(
        textwrap.dedent(
            """
            import atexit

            def record(what):
                trail.record(what)

            atexit.register(record, "registered before the import")
            from trailseal import Trail
            atexit.register(record, "registered after the import")
            trail = Trail.open("t", handoff_size="4MiB")

            class Late:
                def __init__(self):
                    self.record = trail.record
                def __del__(self):
                    self.record("destructor")

            late = Late()
            trail.record("first")
            """
        )
    )
    ended = subprocess.run([sys.executable, "late.py"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0 and not complaints(ended.stderr), ended
    text = (tmp_path / "t/segments/00000000000000000000.jsonl").read_text()
    assert "trail.closed" in text.splitlines()[-1]
    assert {line["action"] for line in lines(tmp_path / "t")} == {
        "first",
        "registered after the import",
        "registered before the import",
        "destructor",
    }


def test_daemon_threads_do_not_hinder_the_end(tmp_path: Path, run: Any) -> None:
    ended = run(
        """
        import threading, time
        trail = Trail.open("t", handoff_size="4MiB")
        recorded = [0] * 4
        def forever(number):
            while True:
                try:
                    trail.record("daemon", ack="durable" if recorded[number] % 50 == 49 else None)
                except Exception:
                    return
                recorded[number] += 1
        for number in range(4):
            threading.Thread(target=forever, args=[number], daemon=True).start()
        while min(recorded) < 100:
            time.sleep(0.01)
        print(trail.record("last", ack="durable").index)
        """
    )
    assert ended.returncode == 0, ended
    found = recovered(tmp_path / "t")
    assert any(line["action"] == "last" for line in found)
    assert len({line["id"] for line in found}) == len(found)


def test_what_cannot_be_told_at_the_end_keeps_nothing_from_being_recorded(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(
        textwrap.dedent(
            """
            import builtins, os, time
            from pathlib import Path
            from trailseal import Trail

            class Late:
                '''Runs after Python's handlers of the end, when only stderr is left to tell on.'''

                def __init__(self):
                    self.trail = Trail.open("t", handoff_size="4MiB")
                    self.trail.record("first", ack="durable")
                    self.rename, self.said = os.rename, Path("said").open("w", buffering=1)
                    self.now = time.monotonic

                def is_flushed(self):
                    try:
                        return self.trail.flush(1)
                    except Exception:  # the disk does not accept lines
                        return False

                def __del__(self):
                    self.rename("t/segments", "t/away")
                    # Until it has noticed that, it writes to what was moved.
                    while self.is_flushed():
                        self.trail.record("late")
                    self.rename("t/away", "t/segments")
                    within = self.now() + 120
                    while not (is_flushed := self.is_flushed()) and self.now() < within:
                        pass
                    self.said.write(f"{is_flushed}")

            builtins.late = Late()
            builtins.late.itself = builtins.late
            """
        )
    )
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([sys.executable, "late.py"], cwd=tmp_path, stderr=full, timeout=PATIENCE, check=False)
    assert ended.returncode == 0, ended
    assert (tmp_path / "said").read_text() == "True"
    text = "".join(path.read_text() for path in sorted((tmp_path / "t/segments").glob("*.jsonl")))
    assert "trail.closed" in text.splitlines()[-1]
    assert {line["action"] for line in lines(tmp_path / "t")} == {"first", "late"}


APPLICATION = """
import os
from trailseal import Trail

trail = Trail.open(os.environ["TEST_DIR"], workers="slots", handoff_size="4MiB")

def application(environ, start):
    number = environ["PATH_INFO"][1:]
    if number == "pid":
        start("200 OK", [("content-type", "text/plain")])
        return [str(os.getpid()).encode()]
    receipt = trail.record("request", id=number, details={"n": number})
    start("200 OK", [("content-type", "text/plain")])
    return [receipt.id.encode()]
"""


def test_gunicorn_workers_that_are_killed_under_load(tmp_path: Path) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    program = str(Path(sys.executable).with_name("gunicorn"))
    command = [
        program,
        "--preload",
        "--workers",
        "4",
        "--bind",
        "unix:socket",
        "--bind",
        "127.0.0.1:0",
        "application:application",
    ]
    log = tmp_path / "log"
    environment = {**os.environ, "TEST_DIR": str(tmp_path / "t"), "PYTHONSAFEPATH": ""}
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
    try:
        until(
            "gunicorn",
            lambda: "http://127.0.0.1:" in log.read_text() and log.read_text().count("Booting worker") >= 4,
        )
        address = log.read_text().split("http://127.0.0.1:")[1].split()[0].rstrip(",)")
        acknowledged, ends = load(int(address))
        try:
            killed = 0
            while killed < ROUNDS * 4:
                until("four workers", lambda: len(children(server.pid)) >= 4)
                wanted = len(acknowledged) + 20
                try:
                    os.kill(children(server.pid)[killed % 4], signal.SIGKILL)
                except (IndexError, ProcessLookupError):
                    # One has ended in the meantime.
                    continue
                killed += 1
                until("more requests", lambda wanted=wanted: len(acknowledged) > wanted)  # type: ignore[misc]
        finally:
            ends()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)
    counted = Counter(line["id"] for line in all_slots(tmp_path / "t"))
    missing = [number for number in acknowledged if counted[number] == 0]
    double = [number for number, count in counted.items() if count > 1]
    print(f"{len(acknowledged)} acknowledged, {killed} workers killed, {len(missing)} missing, {len(double)} double")
    assert not missing and not double
    verdict = Trail.open(tmp_path / "t", workers="slots", **SETTINGS).verify()
    assert verdict["ok"], verdict


def children(pid: int) -> list[int]:
    """Those that live: one that was killed stays in the list until its parent looks."""
    command = ["ps", "-o", "pid=,stat=", "--ppid", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return sorted(int(child) for child, state in zip(listed[::2], listed[1::2], strict=True) if state[0] != "Z")


def load(port: int) -> tuple[list[str], Any]:
    """Asks until it is told to end. Returns what was acknowledged so far, a list that grows."""
    acknowledged: list[str] = []
    ending, numbers, lock = threading.Event(), iter(range(10**9)), threading.Lock()

    def ask() -> None:
        while not ending.is_set():
            with lock:
                number = f"n{next(numbers)}"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=PATIENCE) as answer:
                    if answer.read().decode() == number:
                        acknowledged.append(number)
            except (OSError, http.client.HTTPException):
                # Its worker was killed: it may be there or not.
                continue

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()

    def end() -> None:
        ending.set()
        for thread in threads:
            thread.join()

    return acknowledged, end
