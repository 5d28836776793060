"""Changes of single objects."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import (
    func,
    select,
    update,
)
from sqlalchemy.orm import Session, sessionmaker

from trailseal import Trail

from .orm_models import (
    Customer,
    Engineer,
    Invoice,
    Manager,
    Rate,
    Since,
    Unmarked,
    events,
    told,
)


def test_an_insert_has_its_key_and_what_the_database_filled_in(invoice: int, audit_trail: Trail) -> None:
    [(action, id, before, after)] = told(audit_trail)
    assert (action, id, before) == ("invoice.create", str(invoice), None)
    expected = {"id": invoice, "tenant_id": "acme", "customer_id": None, "amount": 10, "state": "draft"}
    assert after == {**expected, "note": "long", "tags": {"a": [1]}, "changed": 1}
    [one] = events(audit_trail)
    assert (one["tenant"], one["category"], one["outcome"]) == ("acme", "data_change", "success")


def test_an_update_has_what_changed_before_and_after(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
    with sessions.begin() as session:
        found = session.get_one(Invoice, invoice)
        found.amount = 20
    assert since.told() == [("invoice.update", str(invoice), {"amount": 10, "changed": 1}, {"amount": 20, "changed": 2})]
    assert since.events()[0]["tenant"] == "acme"


def test_what_is_set_on_an_expired_object_has_a_before(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
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


def test_what_is_changed_in_place_has_a_before(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
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


def test_keys_that_relationships_set_and_orphans_are_seen(sessions: sessionmaker[Session], audit_trail: Trail) -> None:
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


def test_a_changed_primary_key_names_the_one_before(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
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
    assert seen[2:] == [("employee.update", {"level": 2}), ("employee.update", {"language": "Python"})] or seen[2:] == [
        ("employee.update", {"language": "Python"}),
        ("employee.update", {"level": 2}),
    ]


def test_func_is_evaluated_once(invoice: int, sessions: sessionmaker[Session], since: Since) -> None:
    with sessions.begin() as session:
        session.get_one(Invoice, invoice).note = func.upper("shout")
    [(_, _, before, after)] = since.told()
    assert (before["note"], after["note"]) == ("long", "SHOUT")
