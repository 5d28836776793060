"""Recording from an event loop."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

import trailseal
from trailseal import Receipt, Trail

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
        assert await trail.flush_async()
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
    with Trail.open(tmp_path / "t", handoff_size="1MiB", handoff_timeout_ms=60_000, disk_reserve="0") as trail:

        async def main() -> None:
            text = "x" * 40_000
            receipts = await asyncio.gather(*(trail.record_async("a", details={"t": text}) for _ in range(400)))
            assert all(receipt.is_kept for receipt in receipts)

        asyncio.run(main())
        assert trail.count(action="a") == 400
        assert trail.stats()["refused"] == 0


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
