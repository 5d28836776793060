"""What a transaction commits is told, and nothing else."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import (
    Engine,
    create_engine,
    insert,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

import trailseal
from trailseal import Trail
from trailseal.context import entered
from trailseal.sqlalchemy import audited, record_changes, recording

from .orm_models import (
    Customer,
    Invoice,
    Since,
    events,
)


def test_nothing_is_told_before_the_commit_or_of_a_rollback(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions() as session:
        session.get_one(Invoice, invoice).amount = 20
        session.flush()
        assert since.told() == []
        session.rollback()
        session.get_one(Invoice, invoice).amount = 30
        session.flush()
    assert since.told() == [], "closed without a commit"


def test_a_rolled_back_savepoint_takes_its_events_along(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
    with sessions.begin() as session:
        found = session.get_one(Invoice, invoice)
        found.amount = 1
        with session.begin_nested():
            found.amount = 2
            with session.begin_nested() as inner:
                found.amount = 3
                session.flush()
                inner.rollback()
            found.amount = 4
        outer = session.begin_nested()
        with session.begin_nested():
            found.amount = 5
        outer.rollback()
        found.amount = 6
    changes = [(before["amount"], after["amount"]) for _, _, before, after in since.told()]
    assert changes == [(10, 1), (1, 2), (2, 4), (4, 6)]


def test_a_released_savepoint_in_a_transaction_that_is_rolled_back(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions() as session:
        with session.begin_nested():
            session.get_one(Invoice, invoice).amount = 2
        session.rollback()
    assert since.told() == []


def test_a_flush_that_fails_in_a_savepoint(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
    with sessions.begin() as session:
        session.add(Customer(id=1, name="first"))
        session.flush()
        with pytest.raises(IntegrityError), session.begin_nested():
            session.execute(update(Invoice).values(amount=99))
            session.execute(insert(Customer).values(id=1, name="second"))
        session.add(Customer(id=2, name="third"))
    assert [one[:2] for one in since.told()] == [("customer.create", "1"), ("customer.create", "2")]


def test_a_commit_that_fails_tells_nothing(postgres_url: str, audit_trail: Trail) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS child, parent"))
        connection.execute(text("CREATE TABLE parent (id int PRIMARY KEY)"))
        connection.execute(
            text("CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
        )

    class Other(DeclarativeBase):
        pass

    @audited
    class Child(Other):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        p: Mapped[int]

    sessions = sessionmaker(engine)
    record_changes(sessions, audit_trail)
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.add(Child(id=1, p=404))
        session.flush()
    assert events(audit_trail) == []
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE child, parent"))
    engine.dispose()


def test_other_sessions_are_not_watched(engine: Engine, sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    with sessionmaker(engine).begin() as session:
        session.add(Customer(name="elsewhere"))
        session.execute(update(Customer).values(name="changed"))
    assert events(audit_trail) == []


def test_a_refusal_reaches_the_caller_and_leaves_the_session_usable(
    sessions: sessionmaker[Session], audit_trail: Trail
) -> None:
    audit_trail.close()
    with sessions() as session:
        session.add(Customer(id=9, name="committed"))
        with pytest.raises(trailseal.ClosedError):
            session.commit()
        assert session.get_one(Customer, 9).name == "committed"
        session.rollback()


def test_the_context_of_the_request_is_in_the_events(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    context = trailseal.RequestContext(actor="anna", tenant="umbrella", context={"request_id": "r1"})
    with entered(context), sessions.begin() as session:
        session.add(Customer(name="x"))
    [one] = events(audit_trail)
    assert one["actor"]["id"] == "anna" and one["tenant"] == "umbrella"
    assert one["context"]["request_id"] == "r1"


def test_many_changes_of_one_transaction_are_all_there(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    with sessions.begin() as session:
        session.add_all(Customer(name=f"c{number}") for number in range(700))
    assert audit_trail.count(action="customer.create") == 700


def _with_failing_parts(monkeypatch: pytest.MonkeyPatch, failing: set[int], error: BaseException) -> list[int]:
    """Parts of these numbers fail. Gives the numbers of events that were handed in."""
    recorded: list[int] = []
    parts = iter(range(1_000))

    def record_all(trail: Trail, events: list[recording.Event]) -> None:
        if next(parts) in failing:
            raise error
        recorded.extend(event["details"]["number"] for event in events)

    monkeypatch.setattr(recording, "_record_all", record_all)
    return recorded


def _numbered(count: int) -> list[recording.Event]:
    return [{"action": "numbered", "details": {"number": number}} for number in range(count)]


def test_a_part_that_fails_keeps_no_other_part_out(audit_trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = _with_failing_parts(monkeypatch, {0}, OSError("first"))
    with pytest.raises(OSError, match="first"):
        recording.record(audit_trail, _numbered(700))
    assert recorded == list(range(256, 700))


def test_a_half_that_is_refused_keeps_the_other_half_in(audit_trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    # The whole, its first half, and the first event of that.
    recorded = _with_failing_parts(monkeypatch, {0, 1, 2}, trailseal.RefusedError("too large"))
    with pytest.raises(trailseal.RefusedError):
        recording.record(audit_trail, _numbered(4))
    assert recorded == [1, 2, 3]


def test_a_commit_that_is_cancelled_hands_the_rest_in(audit_trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = _with_failing_parts(monkeypatch, {1}, asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        recording.record(audit_trail, _numbered(700))
    assert recorded == list(range(256))
    # The second was being waited for; the third is handed in without.
    assert [event["details"]["number"] for event in audit_trail.query(action="numbered", order="asc")] == list(
        range(512, 700)
    )


def test_what_makes_no_sessions_is_refused(audit_trail: Trail) -> None:
    with pytest.raises(TypeError, match="makes no sessions"):
        record_changes(object(), audit_trail)
