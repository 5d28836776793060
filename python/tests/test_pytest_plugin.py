"""The plugin, and what it says when an event is missing."""

from __future__ import annotations

import pytest

from trailseal import Trail
from trailseal.pytest import AssertAudited
from trailseal.testing import assert_audited as audited_in
from trailseal.testing import assert_not_audited

pytest_plugins = ["pytester"]


def test_what_is_there_is_found_and_what_is_not_is_told(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    with pytest.raises(AssertionError) as none:
        assert_audited(action="invoice.approve")
    assert str(none.value) == 'no event has action = "invoice.approve"\nnothing was recorded'

    first = audit_trail.record(
        "invoice.approve",
        actor={"id": "u1", "name": "Anna"},
        resource="invoice/41",
        outcome="success",
        details={"amount": 7, "rows": [{"id": 1}]},
        context={"ip": "203.0.113.7"},
    )
    second = audit_trail.record("invoice.read", resource=("invoice", 42))
    assert assert_audited()["action"] == "invoice.read"
    assert_audited(action="invoice.?pprove", actor="Anna", outcome="success", resource=("invoice", 41))
    assert_audited(actor="u1", context__ip="203.0.113.7", details__amount=7, details__rows__0__id=1)
    assert_audited(action="invoice.read", outcome=None, actor=None)
    assert audited_in(audit_trail, action="invoice.*")["action"] == "invoice.read"

    with pytest.raises(AssertionError) as near:
        assert_audited(action="invoice.approve", resource="invoice/42", details__amount=8)
    assert str(near.value) == (
        'no event has action = "invoice.approve", resource = "invoice/42", details.amount = 8\n'
        "the nearest of 2 events:\n"
        f'  #{second.index} invoice.read: action is "invoice.read", details.amount is null\n'
        f'  #{first.index} invoice.approve: resource is "invoice/41", details.amount is 7'
    )
    assert_not_audited(audit_trail, action="invoice.delete")
    with pytest.raises(AssertionError, match=r"an event has action = \"invoice\.\*\""):
        assert_not_audited(audit_trail, action="invoice.*")


def test_the_fixtures_are_there_without_a_word(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_one(audit_trail, assert_audited, assert_not_audited):
            audit_trail.record("a")
            assert_audited(action="a")
            assert_not_audited(action="b")

        def test_each_has_its_own(audit_trail, assert_not_audited):
            assert_not_audited()

        def test_the_difference_is_shown(audit_trail, assert_audited):
            audit_trail.record("a", resource="invoice/41")
            assert_audited(action="a", resource="invoice/42")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(['*no event has action = "a", resource = "invoice/42"', '*resource is "invoice/41"'])
