"""The outbox: psycopg and SQLAlchemy, sync and async, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import PATIENCE, PATIENT, recovered, until
from postgres_server import postgres
from sqlalchemy import String, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from trailseal import SettingsError, Trail
from trailseal.outbox import INSERT, SCHEMA, Outbox
from trailseal.sqlalchemy import audited, record_changes


class Base(DeclarativeBase): ...


@audited(exclude={"note"})
class Bill(Base):
    __tablename__ = "outbox_bills"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    note: Mapped[str | None] = mapped_column(String)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres() as url:
        with psycopg.connect(_plain(url)) as connection:
            connection.execute(SCHEMA)
            connection.execute("CREATE TABLE outbox_changes (number int PRIMARY KEY)")
        engine = create_engine(url)
        Base.metadata.create_all(engine)
        engine.dispose()
        yield url


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def _relayed(trail: Trail, url: str) -> list[str]:
    with trail.relay_outbox(_plain(url)) as relay:
        assert relay.wait_emptied(PATIENCE), relay.stats()
    return [event["action"] for event in trail.query(order="asc", order_by="recorded")]


def test_an_event_commits_or_is_rolled_back_with_the_change_of_psycopg(trail: Trail, url: str) -> None:
    outbox = Outbox(trail)
    with psycopg.connect(_plain(url)) as connection:
        connection.execute("INSERT INTO outbox_changes VALUES (1)")
        kept = outbox.record(connection, "kept", actor="u1", details={"password": "hunter2"})
        row = connection.execute("SELECT event, masked FROM trailseal_outbox.events").fetchone()
        assert row is not None and "hunter2" not in row[0] and row[1] == ["details.password"]
    with pytest.raises(ZeroDivisionError), psycopg.connect(_plain(url)) as connection:
        connection.execute("INSERT INTO outbox_changes VALUES (2)")
        outbox.record(connection, "dropped")
        raise ZeroDivisionError
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        with pytest.raises(ValueError, match="commits every statement"):
            outbox.record(connection, "alone")
        with connection.transaction():
            with connection.cursor() as cursor:
                outbox.record(cursor, "by.cursor")
            with pytest.raises(ZeroDivisionError), connection.transaction():
                outbox.record(connection, "in.savepoint")
                raise ZeroDivisionError
        connection.execute(INSERT, outbox.prepare("prepared", id="own-1"))
    assert _relayed(trail, url) == ["kept", "by.cursor", "prepared"]
    event = trail.get(kept)
    assert event is not None and event["masked"] == ["details.password"] and event["actor"] == {"id": "u1"}
    assert event["time"] < event["recorded"] and event["recorded_by"] == "outbox"


def test_sessions_and_connections_of_sqlalchemy(trail: Trail, url: str) -> None:
    outbox, engine = Outbox(trail), create_engine(url)
    with Session(engine) as session:
        session.execute(text("INSERT INTO outbox_changes VALUES (11)"))
        outbox.record(session, "by.session", tenant="acme")
        session.commit()
        outbox.record(session, "dropped")
        session.rollback()
    with engine.begin() as connection:
        assert len(outbox.record_all(connection, [{"action": "one"}, {"action": "two", "actor": "u1"}])) == 2
    with pytest.raises(ValueError, match="sqlite"), create_engine("sqlite://").begin() as connection:
        outbox.record(connection, "elsewhere")
    with pytest.raises(TypeError, match="ack"):
        outbox.prepare("a", ack="durable")
    engine.dispose()
    assert _relayed(trail, url) == ["by.session", "one", "two"]


def test_a_connection_of_sqlalchemy_that_commits_by_itself_is_refused(trail: Trail, url: str) -> None:
    outbox, engine = Outbox(trail), create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, pytest.raises(ValueError, match="AUTOCOMMIT"):
        outbox.record(connection, "alone")
    with Session(engine) as session, pytest.raises(ValueError, match="AUTOCOMMIT"):
        outbox.record(session, "alone")
    engine.dispose()

    async def of_async() -> None:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            with pytest.raises(ValueError, match="AUTOCOMMIT"):
                await outbox.record_async(alone, "alone")
        async with AsyncSession(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
            with pytest.raises(ValueError, match="AUTOCOMMIT"):
                await outbox.record_async(session, "alone")
        await engine.dispose()

    asyncio.run(of_async())
    assert _relayed(trail, url) == []


def test_the_async_ones(trail: Trail, url: str) -> None:
    outbox = Outbox(trail)

    async def change() -> None:
        async with await psycopg.AsyncConnection.connect(_plain(url)) as connection:
            await outbox.record_async(connection, "by.psycopg")
        engine = create_async_engine(url)
        async with AsyncSession(engine) as session, session.begin():
            await outbox.record_async(session, "by.session")
        async with engine.begin() as connection:
            await outbox.record_async(connection, "by.connection")
        async with engine.connect() as connection:
            await outbox.record_async(connection, "dropped")
        scoped = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
        async with scoped.begin():
            await outbox.record_async(scoped, "by.scoped")
        await scoped.remove()
        await engine.dispose()

    asyncio.run(change())
    own = scoped_session(sessionmaker(create_engine(url)))
    with own.begin():
        outbox.record(own, "by.scoped.of.threads")
    own.remove()
    assert _relayed(trail, url) == ["by.psycopg", "by.session", "by.connection", "by.scoped", "by.scoped.of.threads"]


def test_changes_of_models_go_into_their_own_transaction(trail: Trail, url: str) -> None:
    engine = create_engine(url)
    sessions = sessionmaker(engine)
    record_changes(sessions, Outbox(trail))
    with sessions.begin() as session:
        session.add(Bill(id=1, amount=10))
    with sessions() as session:
        session.add(Bill(id=2, amount=20))
        session.flush()
        session.rollback()
    with sessions.begin() as session:
        session.get_one(Bill, 1).amount = 11
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            session.add(Bill(id=3, amount=30))
            session.flush()
            raise ZeroDivisionError
    # Nothing is recorded but by the relay.
    assert trail.count() == 0
    assert _relayed(trail, url) == ["bill.create", "bill.update"]
    [change] = trail.query(action="bill.update")
    assert change["changes"] == {"amount": {"before": 10, "after": 11}}
    engine.dispose()


def test_changes_of_models_in_an_async_session(trail: Trail, url: str) -> None:
    async def change() -> None:
        engine = create_async_engine(url)
        sessions = async_sessionmaker(engine)
        record_changes(sessions, Outbox(trail))
        async with sessions.begin() as session:
            session.add(Bill(id=51, amount=10))
        await engine.dispose()

    asyncio.run(change())
    assert _relayed(trail, url) == ["bill.create"]


WRITER = """
import os, sys
import psycopg
from trailseal import Trail
from trailseal.outbox import Outbox

trail = Trail.temporary()
outbox = Outbox(trail)
connection = psycopg.connect(sys.argv[1], application_name="writer")
for number in range(10_000_000):
    connection.execute("INSERT INTO outbox_changes VALUES (%s)", [1000 + int(sys.argv[2]) + number])
    outbox.record(connection, "counted", details={"number": 1000 + int(sys.argv[2]) + number})
    connection.rollback() if number % 3 == 0 else connection.commit()
    print(number, flush=True)
"""


def test_after_kill_9_of_the_application_changes_and_events_are_the_same(tmp_path: Path, url: str) -> None:
    for nth in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-P", "-c", WRITER, _plain(url), str(nth * 1_000_000)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        for _ in range(20 + nth * 7):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()

    def is_gone() -> bool:
        """Whether the server is done with what the killed ones had sent: a last commit may come after their end."""
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'writer'"
        with psycopg.connect(_plain(url)) as connection:
            return connection.execute(asked).fetchone() == (0,)

    until("the end of the last commit", is_gone)
    with Trail.open(tmp_path / "t", handoff_size="4MiB", environment=False) as trail:
        _relayed(trail, url)
    recorded = [line["details"]["number"] for line in recovered(tmp_path / "t") if line["action"] == "counted"]
    with psycopg.connect(_plain(url)) as connection:
        committed = [row[0] for row in connection.execute("SELECT number FROM outbox_changes WHERE number >= 1000")]
    assert len(committed) > 50 and sorted(recorded) == sorted(committed)


def test_trouble_of_a_relay_is_told_and_bad_urls_are_refused(trail: Trail) -> None:
    with pytest.raises(SettingsError, match="postgres://"):
        trail.relay_outbox("mysql://db")
    with trail.relay_outbox("postgres://test@127.0.0.1:1/none") as relay:
        until("the trouble", lambda: relay.stats()["trouble"] is not None)
        assert not relay.wait_emptied(0.05)
    assert relay.stats()["taken_over"] == 0


def test_level_store_waits_for_the_shared_store(tmp_path: Path, url: str) -> None:
    with Trail.open(tmp_path / "t", origin="example.com/python", store=_plain(url), handoff_size="4MiB", **PATIENT) as trail:
        for number in range(5):
            receipt = trail.record("order.pay", details={"number": number}, ack="store")
            assert receipt.status == "stored"
            with psycopg.connect(_plain(url)) as connection:
                row = connection.execute("SELECT count(*) FROM trailseal.events WHERE action = 'order.pay'").fetchone()
                assert row == (number + 1,)
        # The trail's own events come after it.
        until("all", lambda: trail.stats()["sinks"]["store"] == {"lag_events": 0, "trouble": None})
        assert asyncio.run(trail.record_async("order.send", ack="store")).status == "stored"
    with Trail.temporary(store="postgres://test@127.0.0.1:1/none", timeout_ms=300, on_failure="allow") as trail:
        receipt = trail.record("order.pay", ack="store")
        assert receipt.status == "unconfirmed" and receipt.is_kept
        until("the trouble", lambda: trail.stats()["sinks"]["store"]["trouble"] is not None)
