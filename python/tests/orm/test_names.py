"""By what an event is told: its tenant and its name. Without its tenant nobody of that tenant finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import ForeignKey, create_engine, delete, insert, select, update
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    defer,
    load_only,
    mapped_column,
    sessionmaker,
)

from trailseal import Trail
from trailseal.sqlalchemy import audited, record_changes

from .orm_models import Document, events


def expired_by_a_commit(session: Session) -> Document:
    found = session.get_one(Document, 1)
    session.commit()
    return found


def expired_in_part(session: Session) -> Document:
    found = session.get_one(Document, 1)
    session.expire(found, ["tenant_id", "title"])
    return found


def loaded_in_part(session: Session) -> Document:
    return session.scalars(select(Document).options(load_only(Document.pages))).one()


def deferred(session: Session) -> Document:
    return session.scalars(select(Document).options(defer(Document.tenant_id), defer(Document.title))).one()


@pytest.mark.parametrize("find", [expired_by_a_commit, expired_in_part, loaded_in_part, deferred])
@pytest.mark.parametrize("change", ["update", "delete"])
def test_an_object_that_does_not_have_them_is_told_by_them(
    sessions: sessionmaker[Session], audit_trail: Trail, find: Callable[[Session], Document], change: str
) -> None:
    with sessions.begin() as session:
        session.add(Document(id=1, tenant_id="acme", title="Plan"))
    with sessions() as session:
        found = find(session)
        if change == "update":
            found.pages = 2
        else:
            session.delete(found)
        session.commit()
    created, changed = events(audit_trail)
    assert created["tenant"] == changed["tenant"] == "acme"
    assert created["resource"] == changed["resource"] == {"type": "document", "id": "1", "name": "Plan"}
    if change == "update":
        assert (changed["before"], changed["after"]) == ({"pages": 1}, {"pages": 2})
    else:
        assert changed["before"] == {"id": 1, "title": "Plan", "pages": 1}, "the tenant is excluded"


def test_an_object_that_replaces_another_is_told_by_them(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    with sessions.begin() as session:
        session.add(Document(id=1, tenant_id="acme", title="Plan"))
    with sessions() as session:
        found = session.get_one(Document, 1)
        session.expire(found, ["tenant_id", "title"])
        session.delete(found)
        session.add(Document(id=1, tenant_id="acme", title="Plan", pages=5))
        session.commit()
    assert events(audit_trail)[-1]["tenant"] == "acme"
    assert events(audit_trail)[-1]["resource"]["name"] == "Plan"


def test_statements_are_told_by_an_excluded_tenant(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
    with sessions.begin() as session:
        session.execute(insert(Document), [{"id": 1, "tenant_id": "acme", "title": "Plan", "pages": 1}])
        session.execute(update(Document).values(pages=2))
        session.execute(delete(Document))
    assert [(one["action"], one.get("tenant")) for one in events(audit_trail)] == [
        ("document.create", "acme"),
        ("document.update", "acme"),
        ("document.delete", "acme"),
    ]
    assert all("tenant_id" not in {**one.get("before", {}), **one.get("after", {})} for one in events(audit_trail))


@pytest.mark.parametrize("marks", [{"tenant": "tenent_id"}, {"name": "titel"}, {"exclude": {"pasword"}}], ids=str)
def test_a_mistyped_attribute_is_an_error(audit_trail: Trail, marks: dict[str, Any]) -> None:
    class Base(DeclarativeBase):
        pass

    @audited(**marks)
    class Account(Base):
        __tablename__ = "accounts"
        id: Mapped[int] = mapped_column(primary_key=True)
        tenant_id: Mapped[str] = mapped_column(default="acme")

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    record_changes(sessions, audit_trail)
    with pytest.raises(TypeError, match="Account has no such"), sessions.begin() as session:
        session.add(Account(id=1))
    with sessions() as session:
        assert session.scalars(select(Account)).all() == []
    assert not events(audit_trail)


def test_marks_of_a_mixin_may_name_what_some_models_lack(audit_trail: Trail) -> None:
    class Base(DeclarativeBase):
        pass

    @audited(tenant="tenant_id", exclude={"password"})
    class Audited:
        id: Mapped[int] = mapped_column(primary_key=True)

    class Account(Audited, Base):
        __tablename__ = "accounts"
        tenant_id: Mapped[str]
        password: Mapped[str]

    class Country(Audited, Base):
        __tablename__ = "countries"

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    record_changes(sessions, audit_trail)
    with sessions.begin() as session:
        session.add_all([Account(id=1, tenant_id="acme", password="secret"), Country(id=2)])
    found = {one["resource"]["id"]: (one.get("tenant"), one["after"]) for one in events(audit_trail)}
    assert found == {"1": ("acme", {"id": 1, "tenant_id": "acme"}), "2": (None, {"id": 2})}


def test_an_attribute_of_a_subclass_that_is_not_imported_yet_may_be_excluded(audit_trail: Trail) -> None:
    class Base(DeclarativeBase):
        pass

    @audited(exclude={"secret"})
    class Account(Base):
        __tablename__ = "accounts"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "account"}  # noqa: RUF012

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    record_changes(sessions, audit_trail)
    with sessions.begin() as session:
        session.add(Account(id=1))

    class Robot(Account):
        __tablename__ = "robots"
        id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
        secret: Mapped[str]
        __mapper_args__ = {"polymorphic_identity": "robot"}  # noqa: RUF012

    Base.metadata.create_all(engine)
    with sessions.begin() as session:
        session.add(Robot(id=2, secret="hidden"))
    assert [one["resource"]["id"] for one in events(audit_trail)] == ["1", "2"]
    assert "hidden" not in str(events(audit_trail))


def test_a_name_may_be_computed(audit_trail: Trail) -> None:
    class Base(DeclarativeBase):
        pass

    @audited(name="full")
    class Person(Base):
        __tablename__ = "persons"
        id: Mapped[int] = mapped_column(primary_key=True)
        first: Mapped[str] = mapped_column()
        last: Mapped[str] = mapped_column()
        full: Mapped[str] = column_property(first + " " + last)

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    record_changes(sessions, audit_trail)
    with sessions.begin() as session:
        session.add(Person(id=1, first="Ada", last="L."))
    with sessions.begin() as session:
        session.get_one(Person, 1).first = "Eva"
    with sessions.begin() as session:
        session.delete(session.get_one(Person, 1))
    found = [(one["action"], one["resource"].get("name")) for one in events(audit_trail)]
    assert [action for action, _ in found] == ["person.create", "person.update", "person.delete"]
    assert found[1][1] == "Ada L."
