"""Statements that touch many rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Engine,
    bindparam,
    delete,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, sessionmaker

from trailseal import Trail
from trailseal.sqlalchemy import record_changes

from .orm_models import (
    Customer,
    Invoice,
    Since,
    actions,
    events,
    some,
)


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
    seen = [(action, id, before["amount"], (after or {}).get("amount")) for action, id, before, after in since.told()]
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
        session.execute(update(Invoice).values(id=Invoice.id + 1000), execution_options={"synchronize_session": False})
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
