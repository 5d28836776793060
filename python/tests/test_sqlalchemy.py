"""Changes of marked models become events, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from postgres_server import postgres
from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    ForeignKey,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import trailseal
from trailseal import Trail
from trailseal.context import entered
from trailseal.sqlalchemy import audited, record_changes


class Base(DeclarativeBase):
    pass


@audited(name="name")
class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    invoices: Mapped[list[Invoice]] = relationship(back_populates="customer", cascade="all, delete-orphan")


@audited(tenant="tenant_id", exclude={"search"})
class Invoice(Base):
    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str | None]
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id"))
    amount: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(server_default="draft")
    note: Mapped[str | None] = mapped_column(deferred=True)
    search: Mapped[str | None]
    tags: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(JSON))
    changed: Mapped[int] = mapped_column(default=1, onupdate=lambda: 2)
    customer: Mapped[Customer | None] = relationship(back_populates="invoices")


@audited(resource="rate")
class Rate(Base):
    __tablename__ = "rates"
    currency: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[dt.date] = mapped_column(primary_key=True)
    value: Mapped[Decimal]


@audited
class Employee(Base):
    __tablename__ = "employees"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}  # noqa: RUF012


class Manager(Employee):
    level: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "manager"}  # noqa: RUF012


class Engineer(Employee):
    __tablename__ = "engineers"
    id: Mapped[int] = mapped_column(ForeignKey("employees.id"), primary_key=True)
    language: Mapped[str]
    __mapper_args__ = {"polymorphic_identity": "engineer"}  # noqa: RUF012


class Unmarked(Base):
    __tablename__ = "unmarked"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Engine]:
    if request.param == "sqlite":
        made = create_engine(f"sqlite:///{tmp_path}/test.db")

        @event.listens_for(made, "connect")
        def own_begin(connection: Any, record: Any) -> None:
            connection.isolation_level = None

        @event.listens_for(made, "begin")
        def begin(connection: Connection) -> None:
            # Savepoints work in SQLite only if the driver does not begin by itself.
            connection.exec_driver_sql("BEGIN")
    else:
        made = create_engine(request.getfixturevalue("postgres_url"))
    Base.metadata.drop_all(made)
    Base.metadata.create_all(made)
    yield made
    Base.metadata.drop_all(made)
    made.dispose()


@pytest.fixture
def sessions(engine: Engine, audit_trail: Trail) -> sessionmaker[Session]:
    made = sessionmaker(engine)
    record_changes(made, audit_trail)
    return made


def events(trail: Trail) -> list[dict[str, Any]]:
    return list(reversed(list(trail.query(order_by="recorded"))))


def told(trail: Trail) -> list[tuple[str, str | None, Any, Any]]:
    return [
        (one["action"], one["resource"].get("id"), one.get("before"), one.get("after")) for one in events(trail)
    ]


def actions(trail: Trail) -> list[str]:
    return [one["action"] for one in events(trail)]


@pytest.fixture
def invoice(sessions: sessionmaker[Session], audit_trail: Trail) -> int:
    with sessions.begin() as session:
        made = Invoice(tenant_id="acme", amount=10, note="long", search="index", tags={"a": [1]})
        session.add(made)
        session.flush()
        return made.id


class Since:
    """What was recorded since it was made."""

    def __init__(self, trail: Trail) -> None:
        self.trail = trail
        self.count = len(events(trail))

    def told(self) -> list[tuple[str, str | None, Any, Any]]:
        return told(self.trail)[self.count :]

    def events(self) -> list[dict[str, Any]]:
        return events(self.trail)[self.count :]


@pytest.fixture
def since(invoice: int, audit_trail: Trail) -> Since:
    return Since(audit_trail)


def test_an_insert_has_its_key_and_what_the_database_filled_in(invoice: int, audit_trail: Trail) -> None:
    [(action, id, before, after)] = told(audit_trail)
    assert (action, id, before) == ("invoice.create", str(invoice), None)
    expected = {"id": invoice, "tenant_id": "acme", "customer_id": None, "amount": 10, "state": "draft"}
    assert after == {**expected, "note": "long", "tags": {"a": [1]}, "changed": 1}
    [one] = events(audit_trail)
    assert (one["tenant"], one["category"], one["outcome"]) == ("acme", "data_change", "success")


def test_an_update_has_what_changed_before_and_after(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions.begin() as session:
        found = session.get_one(Invoice, invoice)
        found.amount = 20
    assert since.told() == [
        ("invoice.update", str(invoice), {"amount": 10, "changed": 1}, {"amount": 20, "changed": 2})
    ]
    assert since.events()[0]["tenant"] == "acme"


def test_what_is_set_on_an_expired_object_has_a_before(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions() as session:
        found = session.get_one(Invoice, invoice)
        session.commit()
        found.amount, found.note = 30, "short"
        session.commit()
    [(_, _, before, after)] = since.told()
    assert before == {"amount": 10, "note": "long", "changed": 1}
    assert after == {"amount": 30, "note": "short", "changed": 2}


def test_an_expression_has_the_value_that_the_database_made_of_it(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions.begin() as session:
        session.get_one(Invoice, invoice).amount = Invoice.amount + 5
    [(_, _, before, after)] = since.told()
    assert (before["amount"], after["amount"]) == (10, 15)


def test_what_is_changed_in_place_has_a_before(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions() as session:
        found = session.get_one(Invoice, invoice)
        assert found.tags is not None
        found.tags["b"] = 2
        session.flush()
        found.tags["b"] = 3
        session.commit()
    assert [(before["tags"], after["tags"]) for _, _, before, after in since.told()] == [
        ({"a": [1]}, {"a": [1], "b": 2}),
        ({"a": [1], "b": 2}, {"a": [1], "b": 3}),
    ]


def test_an_excluded_attribute_is_told_without_its_value(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions.begin() as session:
        session.get_one(Invoice, invoice).search = "other-words"
    [one] = since.events()
    assert one["details"] == {"changed_but_not_recorded": ["search"]}
    assert "other-words" not in str(one) and "index" not in str(one.get("before"))


def test_a_delete_has_the_row_before(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
    with sessions() as session:
        found = session.get_one(Invoice, invoice)
        session.commit()  # expires it
        session.delete(found)
        session.commit()
    [(action, id, before, after)] = since.told()
    assert (action, id, after) == ("invoice.delete", str(invoice), None)
    assert (before["amount"], before["note"], before["state"]) == (10, "long", "draft")
    assert "search" not in before


def test_nothing_is_told_of_what_is_the_same(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
    with sessions.begin() as session:
        session.get_one(Invoice, invoice).amount = 10
        session.add(Unmarked(name="x"))
    assert since.told() == []


def test_keys_that_relationships_set_and_orphans_are_seen(
    sessions: sessionmaker[Session], audit_trail: Trail
) -> None:
    with sessions.begin() as session:
        anna, ben = Customer(name="Anna"), Customer(name="Ben")
        session.add_all([anna, ben, Invoice(customer=anna), Invoice(customer=anna)])
        session.flush()
        keys = anna.id, ben.id
        moved, orphan = anna.invoices
        ids = moved.id, orphan.id
    since = Since(audit_trail)
    with sessions.begin() as session:
        session.get_one(Invoice, ids[0]).customer = session.get_one(Customer, keys[1])
    [(action, id, before, after)] = since.told()
    assert (action, id) == ("invoice.update", str(ids[0]))
    assert (before["customer_id"], after["customer_id"]) == keys
    with sessions.begin() as session:
        anna = session.get_one(Customer, keys[0])
        anna.invoices.clear()
    assert since.told()[1][:2] == ("invoice.delete", str(ids[1]))
    with sessions.begin() as session:
        session.delete(session.get_one(Customer, keys[1]))
    assert sorted(one[0] for one in since.told()[2:]) == ["customer.delete", "invoice.delete"]
    assert since.events()[-1]["resource"] == {"type": "customer", "id": str(keys[1]), "name": "Ben"}


def test_composite_keys_and_decimals(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    with sessions.begin() as session:
        session.add(Rate(currency="EUR", day=dt.date(2026, 11, 29), value=Decimal("1.5")))
    [one] = events(audit_trail)
    assert one["resource"] == {"type": "rate", "id": "EUR,2026-11-29"}
    assert Decimal(one["after"]["value"]) == Decimal("1.5")


def test_a_changed_primary_key_names_the_one_before(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions.begin() as session:
        session.get_one(Invoice, invoice).id = 77
    [one] = since.events()
    assert one["resource"]["id"] == "77" and one["details"] == {"previous_id": str(invoice)}
    assert (one["before"]["id"], one["after"]["id"]) == (invoice, 77)


def test_a_row_that_is_deleted_and_added_at_once_is_an_update(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions.begin() as session:
        session.delete(session.get_one(Invoice, invoice))
        session.add(Invoice(id=invoice, tenant_id="acme", amount=11, state="new"))
    [(action, id, before, after)] = since.told()
    assert (action, id) == ("invoice.update", str(invoice))
    assert (before["amount"], after["amount"]) == (10, 11)


def test_inherited_models_in_one_table_and_in_two(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    with sessions.begin() as session:
        session.add_all([Manager(name="Mia", level=1), Engineer(name="Eva", language="Rust")])
    with sessions.begin() as session:
        session.scalars(select(Engineer)).one().language = "Python"
        session.execute(update(Manager).values(level=2))
    seen = [(one["action"], one.get("after")) for one in events(audit_trail)]
    assert seen[2:] == [("employee.update", {"level": 2}), ("employee.update", {"language": "Python"})] or seen[
        2:
    ] == [
        ("employee.update", {"language": "Python"}),
        ("employee.update", {"level": 2}),
    ]


# Transactions.


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


def test_a_rolled_back_savepoint_takes_its_events_along(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
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


def test_a_session_joined_to_a_transaction_waits_for_it(engine: Engine, audit_trail: Trail) -> None:
    sessions = sessionmaker(join_transaction_mode="create_savepoint")
    record_changes(sessions, audit_trail)
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
    sessions = sessionmaker(join_transaction_mode="create_savepoint")
    record_changes(sessions, audit_trail, wait_for_outer=False)
    with engine.connect() as connection, connection.begin() as outer:
        with sessions(bind=connection) as session:
            session.add(Customer(id=5, name="kept"))
            session.commit()
        outer.rollback()
    assert actions(audit_trail) == ["customer.create"]


def test_other_sessions_are_not_watched(
    engine: Engine, sessions: sessionmaker[Session], audit_trail: Trail
) -> None:
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


# Statements that touch many rows.


def some(sessions: sessionmaker[Session], count: int) -> list[int]:
    with sessions.begin() as session:
        made = [Invoice(tenant_id="acme", amount=number) for number in range(count)]
        session.add_all(made)
        session.flush()
        return [one.id for one in made]


def test_a_bulk_update_has_each_row_before_and_after(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    ids = some(sessions, 4)
    since = Since(audit_trail)
    with sessions.begin() as session:
        # What is not flushed yet is flushed by the statement, and so seen before it.
        session.get_one(Invoice, ids[3]).amount = 30
        result = session.execute(update(Invoice).where(Invoice.amount >= 2).values(amount=Invoice.amount + 100))
        assert result.rowcount == 2  # type: ignore[attr-defined]
    seen = [(id, before["amount"], after["amount"]) for _, id, before, after in since.told()]
    assert seen == [(str(ids[3]), 3, 30), (str(ids[2]), 2, 102), (str(ids[3]), 30, 130)]
    assert [one.get("details") for one in since.events()] == [None, {"bulk": True}, {"bulk": True}]
    assert {one["tenant"] for one in since.events()} == {"acme"}


def test_every_form_of_a_bulk_statement(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    ids = some(sessions, 6)
    since = Since(audit_trail)
    with sessions.begin() as session:
        session.query(Invoice).filter(Invoice.id == ids[0]).update({"amount": 100})
        session.execute(
            update(Invoice).where(Invoice.id == bindparam("which")).values(amount=bindparam("much")),
            {"which": ids[1], "much": 101},
        )
        table: Any = Invoice.__table__
        session.execute(table.update().where(table.c.id == ids[2]).values(amount=102))
        session.query(Invoice).filter(Invoice.id == ids[3]).delete()
        session.execute(delete(Invoice).where(Invoice.id == ids[4]).returning(Invoice.amount))
        session.execute(table.delete().where(table.c.id == ids[5]))
    seen = [
        (action, id, before["amount"], (after or {}).get("amount")) for action, id, before, after in since.told()
    ]
    assert seen == [
        ("invoice.update", str(ids[0]), 0, 100),
        ("invoice.update", str(ids[1]), 1, 101),
        ("invoice.update", str(ids[2]), 2, 102),
        ("invoice.delete", str(ids[3]), 3, None),
        ("invoice.delete", str(ids[4]), 4, None),
        ("invoice.delete", str(ids[5]), 5, None),
    ]


def test_a_bulk_update_by_primary_keys_reads_only_these(
    engine: Engine, sessions: sessionmaker[Session], audit_trail: Trail
) -> None:
    ids = some(sessions, 5)
    since = Since(audit_trail)
    with sessions.begin() as session:
        session.execute(update(Invoice), [{"id": ids[1], "amount": 11}, {"id": ids[3], "amount": 13}])
    seen = [(id, before["amount"], after["amount"]) for _, id, before, after in since.told()]
    assert seen == [(str(ids[1]), 1, 11), (str(ids[3]), 3, 13)]


def test_rows_beyond_the_limit_are_counted(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    some(sessions, 130)
    since = Since(audit_trail)
    with sessions.begin() as session:
        session.execute(update(Invoice).where(Invoice.tenant_id == "acme").values(state="sent"))
    *rows, rest = since.events()
    assert len(rows) == 100 and {one["action"] for one in rows} == {"invoice.update"}
    assert rest["action"] == "invoice.bulk_update" and rest["resource"] == {"type": "invoice"}
    where = rest["details"].pop("where")
    assert rest["details"] == {"rows": 130, "recorded": 100, "not_recorded": 30}
    assert "tenant_id" in where and "acme" not in where
    with sessions.begin() as session:
        session.execute(delete(Invoice))
    *rows, rest = since.events()[101:]
    assert len(rows) == 100 and rest["action"] == "invoice.bulk_delete" and rest["details"]["not_recorded"] == 30


def test_a_bulk_update_of_the_primary_key_says_that_the_row_is_elsewhere(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions.begin() as session:
        session.execute(
            update(Invoice).values(id=Invoice.id + 1000), execution_options={"synchronize_session": False}
        )
    [one] = since.events()
    assert one["resource"]["id"] == str(invoice) and "after" not in one
    assert one["details"]["after"] == "not found by the key that it had before"


def test_bulk_inserts(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    with sessions.begin() as session:
        session.execute(insert(Customer), [{"id": 41, "name": "a"}, {"id": 42, "name": "b"}])
        session.execute(insert(Customer).values(name="alone"))
        session.execute(insert(Customer).values([{"id": 51, "name": "c"}, {"id": 52, "name": "d"}]))
        session.execute(insert(Customer).from_select(["id", "name"], select(Customer.id + 100, Customer.name)))
    *rows, rest = events(audit_trail)
    assert [(one["resource"]["id"], one["after"]["name"]) for one in rows[:2]] == [("41", "a"), ("42", "b")]
    assert rows[2]["after"] == {"name": "alone"} and rows[2]["resource"]["id"].isdigit()
    assert [one["resource"]["id"] for one in rows[3:]] == ["51", "52"]
    assert all(one["details"] == {"bulk": True} for one in rows)
    assert rest["action"] == "customer.bulk_create" and rest["details"]["not_recorded"] == 5


def test_an_upsert_is_marked(engine: Engine, sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    dialect: Any = sqlite if engine.dialect.name == "sqlite" else postgresql
    with sessions.begin() as session:
        statement = dialect.insert(Customer).values(id=1, name="a")
        session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"name": "b"}))
    [one] = events(audit_trail)
    assert one["action"] == "customer.create" and one["details"] == {"bulk": True, "on_conflict": True}


def test_a_bulk_statement_that_is_rolled_back_tells_nothing(
    invoice: int, sessions: sessionmaker[Session], since: Since
) -> None:
    with sessions.begin() as session, session.begin_nested() as savepoint:
        session.execute(update(Invoice).values(amount=0))
        savepoint.rollback()
    assert since.told() == []


def test_what_is_watched_twice_is_told_once(engine: Engine, audit_trail: Trail) -> None:
    class Watched(Session):
        pass

    sessions = sessionmaker(engine, class_=Watched)
    record_changes(Watched, audit_trail)
    record_changes(sessions, audit_trail)
    with sessions.begin() as session:
        session.add(Customer(id=1, name="a"))
        with session.begin_nested():
            session.execute(update(Customer).values(name="b"))
    with sessions() as session:
        session.execute(update(Customer).values(name="c"))
    assert actions(audit_trail) == ["customer.create", "customer.update"]


def test_other_hooks_still_run(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
    seen: list[str] = []
    event.listen(sessions, "do_orm_execute", lambda state: seen.append("after us") if state.is_update else None)
    with sessions.begin() as session:
        session.execute(update(Invoice).values(amount=1))
    assert seen == ["after us"] and len(since.told()) == 1


def test_the_context_of_the_request_is_in_the_events(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    context = trailseal.RequestContext(actor="anna", tenant="umbrella", context={"request_id": "r1"})
    with entered(context), sessions.begin() as session:
        session.add(Customer(name="x"))
    [one] = events(audit_trail)
    assert one["actor"]["id"] == "anna" and one["tenant"] == "umbrella"
    assert one["context"]["request_id"] == "r1"


def test_many_changes_of_one_transaction_are_all_there(
    sessions: sessionmaker[Session], audit_trail: Trail
) -> None:
    with sessions.begin() as session:
        session.add_all(Customer(name=f"c{number}") for number in range(700))
    assert audit_trail.count(action="customer.create") == 700


# asyncio.


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_an_async_session_sets_expired_attributes_without_io(postgres_url: str, mode: Any) -> None:
    trail = Trail.temporary(mode=mode)

    async def changes() -> None:
        engine = create_async_engine(postgres_url)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        sessions = async_sessionmaker(engine)
        record_changes(sessions, trail)
        async with sessions() as session:
            made = Customer(id=1, name="a")
            session.add(made)
            await session.commit()
            made.name = "b"  # expired: active_history would ask the database here, and raise
            await session.commit()
            await session.execute(update(Customer).values(name="c"))
            await session.rollback()
            await session.execute(update(Customer).values(name="d"))
            await session.commit()
        other = async_sessionmaker(engine)
        async with other() as session:
            session.add(Customer(id=2, name="unwatched"))
            await session.commit()
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
        await engine.dispose()

    asyncio.run(changes())
    seen = [(action, before, after) for action, _, before, after in told(trail)]
    assert seen == [
        ("customer.create", None, {"id": 1, "name": "a"}),
        ("customer.update", {"name": "a"}, {"name": "b"}),
        ("customer.update", {"name": "b"}, {"name": "d"}),
    ]
    trail.close()


def test_an_async_session_of_a_single_session(postgres_url: str, audit_trail: Trail) -> None:
    async def changes() -> None:
        engine = create_async_engine(postgres_url)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            record_changes(session, audit_trail)
            session.add(Customer(name="a"))
            await session.commit()
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
        await engine.dispose()

    asyncio.run(changes())
    assert actions(audit_trail) == ["customer.create"]


def test_what_makes_no_sessions_is_refused(audit_trail: Trail) -> None:
    with pytest.raises(TypeError, match="makes no sessions"):
        record_changes(object(), audit_trail)


def test_func_is_evaluated_once(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
    with sessions.begin() as session:
        session.get_one(Invoice, invoice).note = func.upper("shout")
    [(_, _, before, after)] = since.told()
    assert (before["note"], after["note"]) == ("long", "SHOUT")
