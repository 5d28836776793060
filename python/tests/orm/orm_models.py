"""Models that the tests change, and what was recorded of it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    ForeignKey,
)
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

from trailseal import Trail
from trailseal.sqlalchemy import audited


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


@audited(tenant="tenant_id", name="title", exclude={"tenant_id"})
class Document(Base):
    __tablename__ = "documents"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    title: Mapped[str]
    pages: Mapped[int] = mapped_column(default=1)


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


def events(trail: Trail) -> list[dict[str, Any]]:
    return list(reversed(list(trail.query(order_by="recorded"))))


def told(trail: Trail) -> list[tuple[str, str | None, Any, Any]]:
    return [(one["action"], one["resource"].get("id"), one.get("before"), one.get("after")) for one in events(trail)]


def actions(trail: Trail) -> list[str]:
    return [one["action"] for one in events(trail)]


class Since:
    """What was recorded since it was made."""

    def __init__(self, trail: Trail) -> None:
        self.trail = trail
        self.count = len(events(trail))

    def told(self) -> list[tuple[str, str | None, Any, Any]]:
        return told(self.trail)[self.count :]

    def events(self) -> list[dict[str, Any]]:
        return events(self.trail)[self.count :]


def some(sessions: sessionmaker[Session], count: int) -> list[int]:
    with sessions.begin() as session:
        made = [Invoice(tenant_id="acme", amount=number) for number in range(count)]
        session.add_all(made)
        session.flush()
        return [one.id for one in made]
