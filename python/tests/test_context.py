"""The context outside of frameworks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from trailseal import RequestContext, Trail
from trailseal.context import carry, current, entered, on_behalf_of, set_actor, set_tenant
from trailseal.pytest import AssertAudited


def test_an_event_gets_what_it_does_not_say_itself(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    with entered(RequestContext(actor="job", context={"request_id": "run-7", "ip": "203.0.113.7"})):
        set_tenant("acme")
        audit_trail.record("a", context={"ip": "203.0.113.8"})
        set_actor({"id": "anna", "name": "Anna"}, tenant="umbrella", on_behalf_of="ben")
        audit_trail.record("b")
        audit_trail.record("c", actor="own", tenant="own")
    audit_trail.record("d")
    assert_audited(action="a", actor="job", tenant="acme", context__ip="203.0.113.8", context__request_id="run-7")
    assert_audited(action="b", actor="Anna", tenant="umbrella", on_behalf_of__id="ben", context__ip="203.0.113.7")
    assert_audited(action="c", actor="own", tenant="own")
    assert_audited(action="d", actor=None, tenant=None, context__request_id=None)


def test_outside_of_a_request_nothing_is_set() -> None:
    set_actor("anna")
    set_tenant("acme")
    assert current() is None


def test_threads_and_executors_take_the_context_along_by_carry(audit_trail: Trail) -> None:
    def record(which: str) -> None:
        audit_trail.record(which)

    async def in_executor() -> None:
        with entered(RequestContext(actor="async")):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, record, "lost")
            await loop.run_in_executor(None, carry(record), "kept")

    asyncio.run(in_executor())
    with entered(RequestContext(actor="thread")), ThreadPoolExecutor(8) as pool:
        thread = threading.Thread(target=carry(record), args=("kept",))
        thread.start()
        thread.join()
        list(pool.map(carry(record), ["kept"] * 50))
    seen = [(one["action"], (one.get("actor") or {}).get("id")) for one in audit_trail.query(order_by="recorded")]
    assert seen[::-1] == [("lost", None), ("kept", "async"), *[("kept", "thread")] * 51]


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"sub": "anna"}, ("anna", None)),
        ({"sub": "anna", "act": {"sub": "agent"}}, ("agent", {"id": "anna"})),
        ({"sub": "anna", "act": {"client_id": "agent"}}, ("agent", {"id": "anna"})),
        (
            {"sub": "anna", "act": {"sub": "now", "act": {"sub": "then", "act": {"sub": "first"}}}},
            ("now", {"id": "anna", "chain": ["then", "first"]}),
        ),
        ({"sub": "anna", "act": "agent"}, ("anna", None)),
        ({"act": {}}, (None, {})),
        ({}, (None, None)),
    ],
)
def test_on_behalf_of_by_the_act_claim(claims: dict[str, Any], expected: Any) -> None:
    assert on_behalf_of(claims) == expected


def test_a_deep_chain_of_delegation_is_cut(audit_trail: Trail, assert_audited: AssertAudited) -> None:
    claims: dict[str, Any] = {"sub": "first"}
    for number in range(10_000):
        claims = {"sub": f"a{number}", "act": claims}
    actor, for_whom = on_behalf_of(claims)
    assert for_whom is not None
    assert actor == "a9998" and len(for_whom["chain"]) == 8 and for_whom["chain_left_out"] == 9_991
    audit_trail.record("x", actor=actor, on_behalf_of=for_whom)
    assert_audited(action="x", actor="a9998", on_behalf_of__id="a9999", on_behalf_of__chain__0="a9997")
