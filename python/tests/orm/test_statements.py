"""What the hooks of sessions do not see."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    delete,
    insert,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from trailseal import Trail
from trailseal.sqlalchemy import record_statements

from .orm_models import (
    Customer,
    Invoice,
    Unmarked,
    actions,
    events,
)


def test_unseen_statements_are_counted_where_the_engine_is_watched(
    engine: Engine, sessions: sessionmaker[Session], audit_trail: Trail
) -> None:
    record_statements(engine, audit_trail)
    with sessions.begin() as session:
        session.bulk_save_objects([Customer(id=1, name="a"), Customer(id=2, name="b")])
        session.bulk_update_mappings(Customer, [{"id": 1, "name": "secret-name"}])
        session.execute(text("UPDATE customers SET name = 'unseen'"))
        assert events(audit_trail) == []
    table: Any = Customer.__table__
    with engine.begin() as connection:
        connection.execute(table.update().values(name="c"))
        connection.execute(Unmarked.__table__.insert().values(name="x"))  # type: ignore[attr-defined]
        with connection.begin_nested() as savepoint:
            connection.execute(table.delete())
            savepoint.rollback()
        with connection.begin_nested():
            connection.execute(table.delete().where(table.c.id == 2))
    with engine.connect() as connection:
        connection.execute(table.delete())
    seen = [(one["action"], one["details"]["rows"]) for one in events(audit_trail)]
    assert seen == [
        ("customer.unseen_create", 2),
        ("customer.unseen_update", 1),
        ("customer.unseen_update", 2),
        ("customer.unseen_delete", 1),
    ]
    assert "secret-name" not in str(events(audit_trail))


def test_what_sessions_see_is_not_told_twice(engine: Engine, sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    record_statements(engine, audit_trail)
    with sessions.begin() as session:
        made = Customer(id=1, name="a", invoices=[Invoice(id=1, tenant_id="acme")])
        session.add(made)
        session.flush()
        made.name = "b"
        with pytest.raises(IntegrityError), session.begin_nested():
            session.add(Invoice(id=1))
            session.flush()
        session.execute(update(Customer).values(name="c"))
        session.execute(insert(Customer), [{"id": 2, "name": "d"}])
        session.execute(delete(Customer).where(Customer.id == 2))
    expected = ["create", "create", "update", "update", "create", "delete"]
    assert [action.partition(".")[2] for action in actions(audit_trail)] == expected
    with sessionmaker(engine).begin() as session:
        session.add(Customer(id=3, name="of another session"))
    assert actions(audit_trail)[6:] == ["customer.unseen_create"]


def test_what_is_no_engine_is_refused(audit_trail: Trail) -> None:
    with pytest.raises(TypeError, match="is no engine"):
        record_statements(object(), audit_trail)
