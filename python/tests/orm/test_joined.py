"""Sessions in transactions that somebody else commits, or takes back."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, cast

import pytest
from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    insert,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from trailseal import Trail
from trailseal.sqlalchemy import audited, record_changes, record_statements

from .orm_models import Base, Customer, Invoice, actions, events

CUSTOMERS: Any = Customer.__table__
MODES: list[Any] = ["conditional_savepoint", "create_savepoint", "rollback_only", "control_fully"]


def joined(audit_trail: Trail, mode: Any = "conditional_savepoint", **keywords: Any) -> sessionmaker[Session]:
    made = sessionmaker(join_transaction_mode=mode)
    record_changes(made, audit_trail, **keywords)
    return made


def add(sessions: sessionmaker[Session], connection: Connection, id: int) -> None:
    with sessions(bind=connection) as session:
        session.add(Customer(id=id, name="x"))
        session.commit()


def told(trail: Trail) -> list[str]:
    return [one["resource"]["id"] for one in events(trail)]


def in_database(engine: Engine) -> list[str]:
    with Session(engine) as session:
        return [str(customer.id) for customer in session.query(Customer).order_by(Customer.id)]


def test_a_session_joined_to_a_transaction_waits_for_it(engine: Engine, audit_trail: Trail) -> None:
    sessions = joined(audit_trail, "create_savepoint")
    with engine.connect() as connection:
        outer = connection.begin()
        with sessions(bind=connection) as session:
            session.add(Customer(id=5, name="kept"))
            session.commit()
        assert events(audit_trail) == []
        outer.commit()
        assert actions(audit_trail) == ["customer.create"]
        outer = connection.begin()
        with sessions(bind=connection) as session:
            session.add(Customer(id=6, name="gone"))
            session.commit()
        outer.rollback()
        with connection.begin():
            pass
    assert actions(audit_trail) == ["customer.create"]


def test_tests_that_roll_back_may_ask_for_events_anyway(engine: Engine, audit_trail: Trail) -> None:
    sessions = joined(audit_trail, "create_savepoint", wait_for_outer=False)
    with engine.connect() as connection, connection.begin() as outer:
        with sessions(bind=connection) as session:
            session.add(Customer(id=5, name="kept"))
            session.commit()
        outer.rollback()
    assert actions(audit_trail) == ["customer.create"]


@pytest.mark.parametrize("mode", MODES)
def test_a_savepoint_around_a_session_takes_its_events_along(engine: Engine, audit_trail: Trail, mode: Any) -> None:
    sessions = joined(audit_trail, mode)
    with engine.connect() as connection, connection.begin():
        outermost = connection.begin_nested()
        add(sessions, connection, 1)
        outer = connection.begin_nested()
        add(sessions, connection, 2)
        if outer.is_active:
            outer.rollback()
        else:
            # The session controlled it, and released it.
            assert mode == "control_fully"
        if outermost.is_active:
            add(sessions, connection, 3)
            outermost.rollback()
        add(sessions, connection, 4)
    assert told(audit_trail) == in_database(engine)
    assert "4" in told(audit_trail)


@pytest.mark.parametrize("mode", MODES)
def test_savepoints_that_end_in_another_order(engine: Engine, audit_trail: Trail, mode: Any) -> None:
    sessions = joined(audit_trail, mode)
    with engine.connect() as connection:
        connection.begin()
        add(sessions, connection, 1)
        if not connection.in_transaction():
            # The session controlled it, and committed it.
            assert mode == "control_fully"
            connection.begin()
        outer = connection.begin_nested()
        inner = connection.begin_nested()
        add(sessions, connection, 2)
        if inner.is_active:
            inner.commit()
        add(sessions, connection, 3)
        # What is inside of it is released: it goes with it all the same.
        if outer.is_active:
            outer.rollback()
        connection.commit()
    assert told(audit_trail) == in_database(engine)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ends_well", [True, False])
def test_a_session_that_is_closed_without_a_word(engine: Engine, audit_trail: Trail, mode: Any, ends_well: bool) -> None:
    sessions = joined(audit_trail, mode)
    with engine.connect() as connection:
        outer = connection.begin()
        with sessions(bind=connection) as session:
            session.add(Customer(id=1, name="x"))
            session.flush()
        assert events(audit_trail) == []
        if outer.is_active:
            outer.commit() if ends_well else outer.rollback()
    assert told(audit_trail) == in_database(engine)
    # Only there the session leaves the transaction open, with what it did.
    assert bool(told(audit_trail)) == (ends_well and mode in ("conditional_savepoint", "rollback_only"))


@pytest.mark.parametrize("mode", MODES)
def test_a_session_that_rolls_back(engine: Engine, audit_trail: Trail, mode: Any) -> None:
    sessions = joined(audit_trail, mode)
    with engine.connect() as connection:
        outer = connection.begin()
        add(sessions, connection, 1)
        with sessions(bind=connection) as session:
            session.add(Customer(id=2, name="x"))
            session.flush()
            session.rollback()
        if outer.is_active:
            outer.commit()
    assert told(audit_trail) == in_database(engine)


@pytest.mark.parametrize("mode", MODES)
def test_savepoints_of_the_session_within_those_of_others(engine: Engine, audit_trail: Trail, mode: Any) -> None:
    sessions = joined(audit_trail, mode)
    with engine.connect() as connection, connection.begin() as outermost:
        outer = connection.begin_nested()
        with sessions(bind=connection) as session:
            with session.begin_nested():
                session.add(Customer(id=1, name="x"))
            with session.begin_nested() as inner:
                session.add(Customer(id=2, name="x"))
                session.flush()
                inner.rollback()
            session.commit()
        if outer.is_active:
            outer.commit()
        assert told(audit_trail) == []
        outermost.commit()
    assert told(audit_trail) == in_database(engine) == ["1"]


def test_a_savepoint_that_the_connection_of_a_session_made(engine: Engine, audit_trail: Trail) -> None:
    sessions = joined(audit_trail)
    with sessions(bind=engine) as session:
        session.add(Customer(id=1, name="x"))
        session.flush()
        by_hand = session.connection().begin_nested()
        session.add(Customer(id=2, name="x"))
        session.execute(insert(Customer).values(id=3, name="x"))
        session.flush()
        by_hand.rollback()
        session.commit()
    assert told(audit_trail) == in_database(engine) == ["1"]


def test_a_connection_that_is_closed_without_a_word(engine: Engine, audit_trail: Trail) -> None:
    sessions = joined(audit_trail)
    with engine.connect() as connection:
        connection.begin()
        add(sessions, connection, 1)
    with engine.connect() as connection, connection.begin():
        add(sessions, connection, 2)
    assert told(audit_trail) == in_database(engine) == ["2"]


def test_who_asks_for_events_anyway_gets_none_of_a_savepoint_that_is_gone(engine: Engine, audit_trail: Trail) -> None:
    sessions = joined(audit_trail, "create_savepoint", wait_for_outer=False)
    with engine.connect() as connection, connection.begin() as outer:
        with sessions(bind=connection) as session:
            session.add(Customer(id=1, name="x"))
            with session.begin_nested() as inner:
                session.add(Customer(id=2, name="x"))
                session.flush()
                inner.rollback()
            session.commit()
        assert told(audit_trail) == ["1"]
        outer.rollback()
    assert told(audit_trail) == ["1"]


def test_a_commit_that_a_session_controls_and_that_fails(postgres_url: str, audit_trail: Trail) -> None:
    class Other(DeclarativeBase):
        pass

    @audited
    class Child(Other):
        __tablename__ = "late_child"
        id: Mapped[int] = mapped_column(primary_key=True)
        p: Mapped[int]

    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS late_child, late_parent"))
        connection.execute(text("CREATE TABLE late_parent (id int PRIMARY KEY)"))
        deferred = "p int REFERENCES late_parent DEFERRABLE INITIALLY DEFERRED"
        connection.execute(text(f"CREATE TABLE late_child (id int PRIMARY KEY, {deferred})"))
    sessions, children = joined(audit_trail, "control_fully"), cast("Any", Child.__table__)
    record_statements(engine, audit_trail)
    with engine.connect() as connection:
        connection.begin()
        with sessions(bind=connection) as session:
            session.add(Child(id=1, p=404))
            session.flush()
            # Of no session, but in its transaction: it is not recorded in vain either.
            connection.execute(insert(children).values(id=2, p=405))
            with pytest.raises(IntegrityError):
                session.commit()
            session.rollback()
            session.add(Child(id=3, p=406))
            session.flush()
        connection.rollback()
    assert events(audit_trail) == []
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE late_child, late_parent"))
    engine.dispose()


@pytest.fixture
def two_phase(engine: Engine, audit_trail: Trail) -> Iterator[sessionmaker[Session]]:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no two-phase commit")
    made = sessionmaker(engine, twophase=True)
    record_changes(made, audit_trail)
    yield made


def test_a_commit_in_two_phases(two_phase: sessionmaker[Session], engine: Engine, audit_trail: Trail) -> None:
    record_statements(engine, audit_trail)
    with two_phase() as session:
        session.add(Customer(id=1, name="x"))
        session.flush()
        session.connection().execute(update(CUSTOMERS).values(name="y"))
        session.prepare()
        assert events(audit_trail) == [], "prepared is not committed"
        session.commit()
    assert actions(audit_trail) == ["customer.create", "customer.unseen_update"]
    with two_phase() as session:
        session.add(Customer(id=2, name="x"))
        session.prepare()
        session.rollback()
        session.add(Customer(id=3, name="x"))
        session.commit()
    with two_phase() as session:
        session.add(Customer(id=4, name="x"))
        session.prepare()
    with engine.connect() as connection:
        outer = connection.begin_twophase()
        connection.execute(insert(CUSTOMERS).values(id=5, name="x"))
        outer.prepare()
        outer.rollback()
        outer = connection.begin_twophase()
        connection.execute(insert(CUSTOMERS).values(id=6, name="x"))
        outer.prepare()
        outer.commit()
    assert in_database(engine) == ["1", "3", "6"]
    assert actions(audit_trail)[2:] == ["customer.create", "customer.unseen_create"]
    assert events(audit_trail)[2]["resource"]["id"] == "3"


def test_statements_in_savepoints(engine: Engine, audit_trail: Trail) -> None:
    record_statements(engine, audit_trail)
    with engine.connect() as connection, connection.begin():
        outer = connection.begin_nested()
        with connection.begin_nested():
            connection.execute(insert(CUSTOMERS).values(id=1, name="x"))
        outer.rollback()
        connection.execute(insert(CUSTOMERS).values(id=2, name="x"))
        with connection.begin_nested():
            connection.execute(update(CUSTOMERS).values(name="y"))
    assert actions(audit_trail) == ["customer.unseen_create", "customer.unseen_update"]


@pytest.fixture
def second(tmp_path: Any) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path}/second.db")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


def test_two_databases_of_which_one_waits(engine: Engine, second: Engine, audit_trail: Trail) -> None:
    with engine.connect() as connection:
        outer = connection.begin()
        sessions = sessionmaker(binds={Customer: connection, Invoice: second})
        record_changes(sessions, audit_trail)
        with sessions() as session:
            session.add_all([Customer(id=1, name="x"), Invoice(id=7)])
            session.commit()
        assert actions(audit_trail) == ["invoice.create"], "its database has committed"
        outer.rollback()
    assert actions(audit_trail) == ["invoice.create"]


def test_of_two_databases_the_second_fails_to_commit(
    engine: Engine, second: Engine, audit_trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = sessionmaker(binds={Customer: engine, Invoice: second})
    record_changes(sessions, audit_trail)
    commits: list[Any] = []

    def commit(dialect: Any, connection: Any) -> None:
        commits.append(dialect)
        if len(commits) == 2:
            connection.rollback()
            raise OSError("the second database is gone")
        connection.commit()

    for one in (engine, second):
        monkeypatch.setattr(one.dialect, "do_commit", functools.partial(commit, one.dialect))
    with sessions() as session:
        session.add_all([Customer(id=1, name="x"), Invoice(id=7)])
        with pytest.raises(OSError, match="gone"):
            session.commit()
    # Which is the first SQLAlchemy does not say.
    assert actions(audit_trail) == ["customer.create" if commits[0] is engine.dialect else "invoice.create"]


@pytest.mark.parametrize("of_engine", [True, False])
def test_what_the_database_commits_at_once(engine: Engine, audit_trail: Trail, of_engine: bool) -> None:
    if of_engine:
        engine = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    else:
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    if engine.dialect.name == "sqlite" and not of_engine:
        pytest.skip("the fixture begins by itself")
    sessions = joined(audit_trail)
    with sessions(bind=engine) as session:
        session.add(Customer(id=1, name="x"))
        session.flush()
        session.rollback()
    assert told(audit_trail) == in_database(engine) == ["1"]
    engine.dispose()


def test_nothing_of_what_is_over_is_kept(engine: Engine, audit_trail: Trail) -> None:
    from trailseal.sqlalchemy import transactions

    sessions = joined(audit_trail)
    with engine.connect() as connection, connection.begin():
        add(sessions, connection, 1)
    with sessions(bind=engine) as session:
        session.add(Customer(id=2, name="x"))
        session.flush()
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.bind = engine
        session.add(Customer(id=1, name="x"))
    assert not transactions._open
