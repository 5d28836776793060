"""Sessions of asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import (
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from trailseal import Trail
from trailseal.sqlalchemy import record_changes

from .orm_models import (
    Base,
    Customer,
    actions,
    told,
)


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
