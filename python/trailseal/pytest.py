"""A pytest plugin, there as soon as the package is installed.

``audit_trail`` is a trail in a temporary folder, new for each test. ``assert_audited`` asserts that it has an
event::

    def test_approve(client, assert_audited):
        client.post("/invoices/42/approve")
        assert_audited(action="invoice.approve", resource="invoice/42")

Let your application use it by overriding the dependency or setting that gives it its trail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from . import EventDict, Trail, testing

__all__ = ["AssertAudited", "assert_audited", "assert_not_audited", "audit_trail"]


class AssertAudited(Protocol):
    """The type of the fixture ``assert_audited``."""

    def __call__(self, **wanted: Any) -> EventDict: ...


class AssertNotAudited(Protocol):
    """The type of the fixture ``assert_not_audited``."""

    def __call__(self, **wanted: Any) -> None: ...


@pytest.fixture
def audit_trail() -> Iterator[Trail]:
    """A trail in a temporary folder that goes away with it."""
    trail = Trail.temporary()
    yield trail
    trail.close()


@pytest.fixture
def assert_audited(audit_trail: Trail) -> AssertAudited:
    """:func:`trailseal.testing.assert_audited` of the trail ``audit_trail``."""

    def of_the_trail(**wanted: Any) -> EventDict:
        __tracebackhide__ = True
        return testing.assert_audited(audit_trail, **wanted)

    return of_the_trail


@pytest.fixture
def assert_not_audited(audit_trail: Trail) -> AssertNotAudited:
    """:func:`trailseal.testing.assert_not_audited` of the trail ``audit_trail``."""

    def of_the_trail(**wanted: Any) -> None:
        __tracebackhide__ = True
        testing.assert_not_audited(audit_trail, **wanted)

    return of_the_trail
