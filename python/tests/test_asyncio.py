"""Recording from an event loop."""

import asyncio
import select
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from conftest import PATIENCE, PATIENT, complaints, lines, until

import trailseal
from trailseal import ClosedError, Receipt, Trail, _loop
from trailseal._trailseal import Awaited, LoopWaits

RUNNERS: list[Callable[[Coroutine[Any, Any, Any]], Any]] = [asyncio.run, uvloop.run]


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_thousand_at_once(trail: Trail, runner: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    async def main() -> list[Receipt]:
        trail.set_mode("sync")
        return await asyncio.gather(*(trail.record_async("a", details={"n": n}) for n in range(1_000)))

    receipts = runner(main())
    assert {receipt.status for receipt in receipts} == {"durable"}
    assert len({receipt.id for receipt in receipts}) == 1_000 == trail.count(action="a")
    # Another loop, after the first was closed.
    assert runner(main())[0].status == "durable"


def test_without_a_wait_it_is_done_at_once(trail: Trail) -> None:
    async def main() -> None:
        coroutine = trail.record_async("a")
        with pytest.raises(StopIteration) as done:
            coroutine.send(None)
        assert done.value.value.status == "accepted"

    asyncio.run(main())


def test_cancelled_is_recorded_all_the_same(trail: Trail) -> None:
    async def main() -> None:
        await trail.record_async("first", ack="durable")
        tasks = [asyncio.create_task(trail.record_async("a", ack="durable")) for _ in range(100)]
        await asyncio.sleep(0)
        # One that was on disk at once is done and cannot be cancelled.
        cancelled = [task.cancel() for task in tasks[::2]]
        assert any(cancelled)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in done[::2]] == cancelled
        assert {one.status for one in done[1::2] if isinstance(one, Receipt)} == {"durable"}
        # The loop is not disturbed by those that nobody waits for.
        assert (await trail.record_async("a", ack="durable")).status == "durable"

    asyncio.run(main())
    assert trail.count(action="a") == 101


def test_many_in_one(trail: Trail) -> None:
    async def main() -> None:
        receipts = await trail.record_all_async([{"action": "a"}, {"action": "b"}], ack="durable")
        assert [receipt.status for receipt in receipts] == ["durable", "durable"]
        assert [receipt.status for receipt in await trail.record_all_async([{"action": "c"}])] == ["accepted"]
        assert await trail.flush_async(PATIENCE)
        await trail.close_async()
        with pytest.raises(trailseal.ClosedError):
            await trail.record_async("late")

    asyncio.run(main())


def test_what_cannot_be_confirmed_in_time_is_said() -> None:
    # There is no store that is confirmed by: without an index nobody keeps one.
    rules = [{"when": {"action": "*"}, "mode": "sync", "acknowledge": "store", "timeout_ms": 50, "on_failure": "deny"}]
    with Trail.temporary(rules=rules, index_enabled=False) as trail:

        async def main() -> trailseal.UnconfirmedError:
            with pytest.raises(trailseal.UnconfirmedError) as raised:
                await trail.record_async("a")
            return raised.value

        error = asyncio.run(main())
        found = trail.get(error.id)
        assert found is not None and found["index"] == error.index
        with pytest.raises(trailseal.UnconfirmedError):
            trail.record("b")


def test_a_full_buffer_does_not_stop_the_loop(tmp_path: Path) -> None:
    with small(tmp_path / "t") as trail:

        async def main() -> None:
            text = "x" * 40_000
            receipts = await asyncio.gather(*(trail.record_async("a", details={"t": text}) for _ in range(400)))
            assert all(receipt.is_kept for receipt in receipts)

        asyncio.run(main())
        assert trail.count(action="a") == 400
        assert trail.stats()["refused"] == 0


TEXT = "x" * 40_000


@contextmanager
def crowded(trail: Trail) -> Iterator[None]:
    """Threads want more room than there is."""
    ends = threading.Event()

    def fill() -> None:
        while not ends.is_set():
            with suppress(trailseal.FullError):
                trail.record("filling", details={"t": TEXT})

    threads = [threading.Thread(target=fill) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def waits_for_room(hand_in: Callable[[], Any]) -> Any:
    """What was handed in when there was no room; those before it are let go."""
    for _ in range(2_000):
        handed_in = hand_in()
        if isinstance(handed_in, Awaited):
            return handed_in
    pytest.skip("the disk kept up with everything, so there was always room")


def small(dir: Path, **settings: Any) -> Trail:
    # Not the masks are to be what takes time, but the disk.
    settings = {"handoff_size": "1MiB", "disk_reserve": "0", "mask_enabled": False, **PATIENT, **settings}
    return Trail.open(dir, environment=False, **settings)


def test_cancelled_without_room_is_recorded_all_the_same(tmp_path: Path) -> None:
    cancelled: list[str] = []

    async def record(trail: Trail, number: int) -> None:
        try:
            await trail.record_async("a", details={"t": TEXT}, id=f"a{number}")
        except asyncio.CancelledError:
            cancelled.append(f"a{number}")
            raise

    async def burst(trail: Trail, first: int) -> None:
        tasks = [asyncio.create_task(record(trail, number)) for number in range(first, first + 200)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def main(trail: Trail) -> int:
        # The disk may keep up with a burst.
        for first in range(0, 3_000, 200):
            await burst(trail, first)
            if len(cancelled) > 50:
                return first + 200
        pytest.skip("the disk kept up with everything, so there was always room")

    with small(tmp_path / "t") as trail:
        with crowded(trail):
            count = asyncio.run(main(trail))
        until("those that were cancelled", lambda: trail.count(action="a") >= count)
        assert sorted(event["id"] for event in trail.query(action="a")) == sorted(f"a{number}" for number in range(count))
        assert trail.stats()["refused"] == 0


def test_a_cancelled_event_that_is_refused_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def told() -> bool:
        return any("whose caller was cancelled" in message and "full" in message for message in caplog.messages)

    async def main(trail: Trail) -> None:
        for _ in range(2_000):
            task = asyncio.create_task(trail.record_async("a", details={"t": TEXT}))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if told():
                return
        pytest.skip("the disk kept up with everything, so there was always room")

    with small(tmp_path / "t", handoff_timeout_ms=1) as trail, crowded(trail):
        asyncio.run(main(trail))
        until("a word of it", told)


def test_several_together_do_not_stop_the_loop_without_room(tmp_path: Path) -> None:
    events = [{"action": "a", "details": {"t": TEXT}} for _ in range(5)]

    async def main(trail: Trail) -> None:
        handed_in = waits_for_room(lambda: trail._begin_all(events, None))
        assert [receipt.is_kept for receipt in await _loop.wait(handed_in)] == [True] * 5
        # And so do those that nobody can wait for.
        waits_for_room(lambda: trail._begin_all([{"action": "let go", **event} for event in events], None)).let_go()
        receipts = await trail.record_all_async(events, ack="durable")
        assert [receipt.status for receipt in receipts] == ["durable"] * 5

    with small(tmp_path / "t") as trail:
        with crowded(trail):
            asyncio.run(main(trail))
        until("what was let go", lambda: trail.count(action="let go") % 5 == 0)
        assert trail.count(action="a") % 5 == 0 and trail.stats()["refused"] == 0


def test_what_waits_for_room_at_the_end_of_the_process_is_recorded(tmp_path: Path, run: Any) -> None:
    ended = run(
        """
        import asyncio
        trail = Trail.open("t", handoff_size="1MiB", disk_reserve="0")

        async def main():
            # Several times what there is room for, and no more than a slow disk takes before the process gives up.
            for number in range(60):
                handed_in = trail._begin("a", {"id": str(number), "details": {"t": "x" * 60_000}})
                if hasattr(handed_in, "let_go"):
                    handed_in.let_go()

        asyncio.run(main())
        """
    )
    assert ended.returncode == 0 and not complaints(ended.stderr), ended
    assert len(lines(tmp_path / "t")) == 60
    assert "trail.closed" in (tmp_path / "t/segments/00000000000000000000.jsonl").read_text().splitlines()[-1]


class Unlike:
    """A future that raises when it is asked."""

    def done(self) -> bool:
        raise RuntimeError("not this one")


def test_an_error_of_one_waiting_keeps_no_other_waiting() -> None:
    # The end of its time would ring for it once more.
    rules = [{"when": {"action": "*"}, "mode": "sync", "timeout_ms": 600_000}]

    async def main(trail: Trail) -> None:
        loop, waits = asyncio.get_running_loop(), LoopWaits()
        futures: list[Any] = [Unlike(), loop.create_future(), Unlike(), loop.create_future()]
        handed_in = [trail._begin("a", {}) for _ in futures]
        for one, future in zip(handed_in, futures, strict=True):
            assert isinstance(one, Awaited)
            with suppress(RuntimeError):
                waits.add(one, future)
        assert trail.flush(PATIENCE)
        errors: list[str] = []
        while not all(future.done() for future in futures[1::2]):
            readable, _, _ = await asyncio.to_thread(select.select, [waits.fileno()], [], [], PATIENCE)
            assert readable, f"nothing rings any more: {futures}, {errors}"
            try:
                waits.ring()
            except RuntimeError as error:
                errors.append(str(error))
        assert set(errors) <= {"not this one"}
        assert [future.result().status for future in futures[1::2]] == ["durable", "durable"]

    with Trail.temporary(rules=rules) as trail:
        for _ in range(20):
            asyncio.run(main(trail))


def test_threads_tasks_and_loops_at_once(trail: Trail) -> None:
    ids: list[str] = []

    async def task(number: int) -> None:
        for turn in range(50):
            ack: Any = "durable" if turn % 10 == number % 10 else None
            ids.append((await trail.record_async("async", ack=ack)).id)
            ids.append(await asyncio.to_thread(lambda: trail.record("thread").id))

    async def main() -> None:
        await asyncio.gather(*(task(number) for number in range(10)))

    loops = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(3)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    assert len(ids) == 3_000 == len(set(ids)) == trail.count()
    assert trail.verify()["ok"]


def test_a_trail_is_closed_at_the_end_of_its_block() -> None:
    async def main() -> Trail:
        async with Trail.temporary() as trail:
            await trail.record_async("inside")
        with pytest.raises(ClosedError):
            await trail.record_async("outside")
        with pytest.raises(KeyError):
            async with Trail.temporary() as failing:
                raise KeyError
        assert failing.is_closed
        return trail

    assert [event["action"] for event in asyncio.run(main()).query()] == ["inside"]
