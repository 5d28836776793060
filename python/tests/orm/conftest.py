"""Every test runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from postgres_server import postgres
from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
)
from sqlalchemy.orm import Session, sessionmaker

from trailseal import Trail
from trailseal.sqlalchemy import record_changes

from .orm_models import (
    Base,
    Invoice,
    Since,
)


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


@pytest.fixture
def invoice(sessions: sessionmaker[Session], audit_trail: Trail) -> int:
    with sessions.begin() as session:
        made = Invoice(tenant_id="acme", amount=10, note="long", search="index", tags={"a": [1]})
        session.add(made)
        session.flush()
        return made.id


@pytest.fixture
def since(invoice: int, audit_trail: Trail) -> Since:
    return Since(audit_trail)
