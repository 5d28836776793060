"""Open, record, read, close."""

import datetime as dt
import json
import logging
import pickle
import subprocess
import sys
import threading
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE, lines, one, until

import trailseal
from trailseal import ConflictError, RequestContext, SettingsError, Trail, request_context


def test_record_and_read(tmp_path: Path) -> None:
    with Trail.open(tmp_path / "t", origin="example.com/billing", handoff_size="4MiB") as trail:
        receipt = trail.record("invoice.approve", actor="u1", resource="invoice/42", details={"n": 1}, ack="durable")
        assert receipt.index == 1 and receipt.status == "durable" and receipt.origin == "example.com/billing"
        assert uuid.UUID(receipt.id).version == 7
        trail.record("invoice.pay", actor="u2", resource="invoice/42", before={"paid": False}, after={"paid": True})
        trail.record("user.login", outcome="denied", tenant="acme")

        assert [event["action"] for event in trail.query(action="invoice.*", order="asc")] == [
            "invoice.approve",
            "invoice.pay",
        ]
        assert list(one(trail))[0] == "origin"
        assert trail.count(tenant="acme", since=dt.timedelta(hours=1)) == 1
        assert trail.count(outcome=["denied", "none"]) == 3
        assert trail.count(since=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)) == 0
        history = list(trail.history(("invoice", 42)))
        assert history[1]["changes"] == {"paid": {"before": False, "after": True}}
        found = trail.get(receipt.id)
        assert found is not None and found["index"] == 1
        assert trail.get("nobody") is None
        summary = trail.summary(top=2)
        assert summary["total"] == 3 and len(summary["by_action"]) == 2
        assert [event["action"] for event in trail.tail(2)] == ["invoice.pay", "user.login"]
        assert [event["index"] for event in trail.export()][0] == 1
        assert trail.verify()["ok"] and trail.verify()["tree_size"] >= 4
        assert trail.checkpoint().startswith("example.com/billing\n")
        for event in (receipt, receipt.id, 1):
            assert trail.prove(event).startswith("c2sp.org/tlog-proof@v1\n")
        stats = trail.stats()
        assert stats["accepted"] >= 4 and stats["refused"] == 0
        reads = [event for event in trail.query(system=True) if event["action"] == "trail.read"]
        assert any(read["details"].get("query") == {"tenant": ["acme"]} or "query" in read["details"] for read in reads)
    assert trail.is_closed
    assert len(lines(tmp_path / "t")) == 3
    # What is closed can be read.
    assert trail.count() == 3
    with pytest.raises(trailseal.ClosedError):
        trail.record("late")
    trail.close()


def test_pages_go_on_where_they_ended(trail: Trail) -> None:
    trail.record_all([{"action": "a", "details": {"n": n}} for n in range(600)])
    seen, cursor = [], None
    while True:
        page = trail.page(limit=250, cursor=cursor, order="asc", order_by="recorded")
        seen += [event["details"]["n"] for event in page.events]
        if page.next is None:
            break
        cursor = page.next
    assert seen == list(range(600))
    assert [event["details"]["n"] for event in trail.query(order="asc", order_by="recorded")] == list(range(600))
    assert len(list(trail.query(limit=300))) == 300
    with pytest.raises(ValueError):
        trail.page(cursor="nonsense")
    with pytest.raises(ValueError):
        trail.query(colour="red")  # type: ignore[call-arg]


def test_all_or_none(trail: Trail) -> None:
    receipts = trail.record_all([{"action": "a"}, {"action": "b", "tenant": 1}], ack="durable")
    assert [receipt.status for receipt in receipts] == ["durable", "durable"]
    assert receipts[1].index == (receipts[0].index or 0) + 1
    with pytest.raises(TypeError):
        trail.record_all([{"action": "c"}, {"details": {}}])
    assert trail.count(action="c") == 0


def test_a_retry_with_the_same_id_is_safe(trail: Trail) -> None:
    first = trail.record_once("order.pay", id="order-42", details={"n": 1})
    again = trail.record_once("order.pay", id="order-42", details={"n": 1})
    assert not first.repeated and again.repeated and again.index == first.index
    with pytest.raises(ConflictError) as raised:
        trail.record_once("order.pay", id="order-42", details={"n": 2})
    assert raised.value.index == first.index
    assert pickle.loads(pickle.dumps(raised.value)).id == "order-42"


def test_the_context_of_a_request(trail: Trail) -> None:
    context = RequestContext(context={"ip": "192.0.2.1", "request_id": uuid.UUID(int=1)})
    token = request_context.set(context)
    try:
        trail.record("a")
        context.set(actor={"id": 7}, tenant="acme", user_agent="x")
        trail.record("b", context={"ip": "192.0.2.2", "own": 1})
        trail.record("c", actor="u9", tenant="other")
        trail.record_all([{"action": "d"}])
    finally:
        request_context.reset(token)
    trail.record("e")
    a, b, c, d, e = trail.query(order="asc", order_by="recorded")
    assert a["context"] == {"ip": "192.0.2.1", "request_id": str(uuid.UUID(int=1))} and "actor" not in a
    assert b["context"]["ip"] == "192.0.2.2" and b["context"]["user_agent"] == "x" and b["context"]["own"] == "1"
    assert b["actor"] == {"id": "7"} == d["actor"] and b["tenant"] == "acme"
    assert c["actor"] == {"id": "u9"} and c["tenant"] == "other"
    assert "context" not in e and "actor" not in e
    context.set(tenant=None, ip=None)
    assert context.as_dict()["context"].keys() == {"request_id", "user_agent"}
    assert "tenant" not in context.as_dict()


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: Any
    for wrong in ({"mood": 1}, {"mode": "fast"}, {"rules": [{"mode": "off"}]}, {"handoff_size": "big"}):
        with pytest.raises(SettingsError, match="|".join(wrong)):
            Trail.open(tmp_path / "t", **wrong)
    file = tmp_path / "settings.toml"
    file.write_text('mode = "sync"\n[handoff]\nsize = "2MiB"\n')
    monkeypatch.setenv("TRAILSEAL_ORIGIN", "example.com/from-environment")
    rules = [{"when": {"action": "*.read"}, "mode": "off"}]
    with Trail.open(tmp_path / "t", config=file, rules=rules, mask_keys=["iban"]) as trail:
        assert trail.origin == "example.com/from-environment"
        assert trail.record("a", details={"iban": "DE1"}).status == "durable"
        assert trail.record("x.read").status == "off"
        assert one(trail)["details"]["iban"] != "DE1"
        trail.set_mode("async")
        assert trail.record("a").status == "accepted"
        assert 'mode = "async"' in trail.policy()
        with pytest.raises(SettingsError):
            trail.set_mode("sampled")
        trail.set_policy('mode = "off"')
        assert not trail.record("a").is_kept


def test_one_folder_is_one_trail_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Trail.open(tmp_path / "t", handoff_size="4MiB")
    again = Trail.open(tmp_path / "t", handoff_size="4MiB")
    again.record("a", ack="durable")
    assert first.count() == 1
    with pytest.raises(trailseal.OpenError, match="other settings"):
        Trail.open(tmp_path / "t", mode="sync")
    monkeypatch.chdir(tmp_path)
    assert Trail.open("t", handoff_size="4MiB").count() == 1
    same = pickle.loads(pickle.dumps(first))
    same.record("b")
    assert first.count() == 2
    first.close()
    assert again.is_closed
    program = f"from trailseal import Trail; Trail.open({str(tmp_path / 't')!r}).record('c', ack='durable')"
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
    with Trail.open(tmp_path / "t", handoff_size="4MiB") as later:
        assert later.count() == 3


def test_another_process_is_named(tmp_path: Path, run: Any) -> None:
    with Trail.open(tmp_path / "t", handoff_size="4MiB"):
        ended = run(
            """
            import trailseal
            try:
                Trail.open("t")
            except trailseal.LockedError as error:
                print(error)
            """
        )
    assert 'workers="slots"' in ended.stdout and "in use by process" in ended.stdout, ended


def test_what_is_exported_is_a_file(trail: Trail, tmp_path: Path) -> None:
    trail.record_all([{"action": "a", "tenant": "t"}, {"action": "b"}], ack="durable")
    format: Any
    for format in ("jsonl", "csv", "parquet", "sqlite", "bundle"):
        out = tmp_path / f"out.{format}"
        assert trail.export_to(out, format=format, tenant="t") == 1
        assert out.stat().st_size > 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["action"] == "a"
    with pytest.raises(trailseal.ReadError):
        trail.export_to(tmp_path / "no" / "such" / "folder", format="csv")


def test_tail_follows_until_the_trail_is_closed(trail: Trail) -> None:
    trail.record("old")
    seen: list[str] = []

    def follow() -> None:
        seen.extend(event["action"] for event in trail.tail(1, follow=True, poll_seconds=0.01))

    thread = threading.Thread(target=follow)
    thread.start()
    until("the old one", lambda: seen == ["old"])
    for number in range(3):
        trail.record(f"new {number}")
    trail.flush()
    trail.close()
    thread.join(PATIENCE)
    assert not thread.is_alive() and seen == ["old", "new 0", "new 1", "new 2"]


@pytest.mark.parametrize("count", [1, 100, 5_000])
def test_tail_gives_what_is_written_by_the_close(trail: Trail, count: int) -> None:
    trail.record("old", ack="durable")
    tail = trail.tail(1, follow=True, poll_seconds=0.001)
    assert next(tail)["action"] == "old"
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.extend(event["action"] for event in tail))
    thread.start()
    for number in range(count):
        trail.record(f"new {number}")
    trail.close()
    thread.join(PATIENCE)
    assert not thread.is_alive() and seen == [f"new {number}" for number in range(count)]


def test_the_server_runs_beside_the_application(trail: Trail) -> None:
    trail.record("invoice.approve", ack="durable")
    with trail.serve(open=True) as server:
        with urllib.request.urlopen(f"{server.url}/v1/events?action=invoice.approve") as answer:
            assert len(json.load(answer)["events"]) == 1
        with urllib.request.urlopen(server.url) as page:
            assert b"<html" in page.read()
        assert server.address[0] == "127.0.0.1"
    server.stop()
    trail.record("after", ack="durable")
    with pytest.raises(trailseal.OpenError):
        trail.serve("192.0.2.1:1", open=True)


def test_notices_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Trail.open(tmp_path / "t", handoff_size="4MiB") as trail, caplog.at_level(logging.WARNING, "trailseal"):
        (tmp_path / "t" / "lock").unlink()

        def is_told() -> bool:
            return any(record.name == "trailseal" and "lock" in record.getMessage() for record in caplog.records)

        until("a notice", lambda: trail.record("a").is_kept and is_told())


def test_threads(trail: Trail) -> None:
    ids: list[str] = []

    def work() -> None:
        mine = [trail.record("a", details={"n": n}).id for n in range(500)]
        ids.extend(mine)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 4_000 == trail.count()


def test_the_command(tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("trailseal"))
    recorded = subprocess.run(
        [program, "record", "--dir", "t", "--json"],
        input='{"action":"a"}\n',
        cwd=tmp_path,
        text=True,
        capture_output=True,
    )
    assert recorded.returncode == 0 and json.loads(recorded.stdout)["index"] == 1, recorded
    counted = subprocess.run([program, "query", "--dir", "t", "--count"], cwd=tmp_path, text=True, capture_output=True)
    assert counted.stdout == "1\n"
    assert subprocess.run([program, "query", "--dir", "nowhere"], cwd=tmp_path, capture_output=True).returncode == 2
    module = [sys.executable, "-P", "-m", "trailseal", "query", "--dir"]
    assert subprocess.run([*module, "t", "--count"], cwd=tmp_path, capture_output=True).stdout == b"1\n"
    assert subprocess.run([*module, "nowhere"], cwd=tmp_path, capture_output=True).returncode == 2


def test_imports_little() -> None:
    program = "import sys; import trailseal; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-P", "-c", program], text=True, capture_output=True, check=True).stdout.split()
    for heavy in ("json", "logging", "uuid", "datetime", "fastapi", "pydantic", "sqlalchemy"):
        assert heavy not in loaded, f"importing trailseal also imports {heavy}"
