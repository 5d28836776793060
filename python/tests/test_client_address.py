"""The same cases as in the Rust layer: nothing that a client sends gives it an address that no trusted proxy has
seen."""

from __future__ import annotations

from typing import Any

import pytest

import trailseal
from trailseal import Trail
from trailseal._client_address import ProxyHeader, client_address, networks
from trailseal.asgi import AuditMiddleware

TRUSTED = networks(["10.0.0.0/8", "::1/128", "192.0.2.7"])


@pytest.mark.parametrize(
    ("written", "peer", "sent", "found"),
    [
        ("x-forwarded-for", "203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("x-forwarded-for", "10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("x-forwarded-for", "10.0.0.1", ["1.1.1.1", "198.51.100.1", "192.0.2.7"], "198.51.100.1"),
        ("x-forwarded-for", "::ffff:10.0.0.1", ["198.51.100.1:80"], "198.51.100.1"),
        ("x-forwarded-for", "10.0.0.1", ["198.51.100.1, <script>"], "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1", ["198.51.100.1, 10.0.0.300"], "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1", ["198.51.100.1, \xff"], "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1", ["198.51.100.1:99999"], "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1", ["010.1.1.1"], "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("x-forwarded-for", "10.0.0.1", [""], "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1", [], "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("forwarded", "::1", ['for="[2001:db8::1]:80"'], "2001:db8::1"),
        ("forwarded", "::1", ["proto=https;For=198.51.100.4;by=10.0.0.9, for=10.0.0.2"], "198.51.100.4"),
        ("forwarded", "::1", ["for=unknown, for=10.0.0.2"], "10.0.0.2"),
        ("forwarded", "::1", ["proto=https"], "::1"),
        ("x-forwarded-for", "fe80::1%eth0", ["198.51.100.1"], "fe80::1"),
    ],
)
def test_only_what_a_trusted_proxy_writes_is_believed(written: ProxyHeader, peer: str, sent: list[str], found: str) -> None:
    headers = [value.encode("latin-1") for value in sent]
    assert client_address(peer, headers, TRUSTED, written) == found


def test_without_a_peer_there_is_no_address() -> None:
    assert client_address(None, [b"198.51.100.1"], TRUSTED, "x-forwarded-for") is None
    assert client_address("testclient", [b"198.51.100.1"], TRUSTED, "x-forwarded-for") is None


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'proxy' is not a network: write one such as 10\.0\.0\.0/8"):
        networks(["proxy"])
    assert networks("10.1.2.3/8") == networks(["10.0.0.0/8"])


@pytest.mark.parametrize("name", ["X-Forwarded-For", "x-forwarded-for"])
def test_the_name_of_the_header_may_be_in_any_case(audit_trail: Trail, name: Any) -> None:
    middleware = AuditMiddleware(_no_app, audit_trail, trusted_proxies=["10.0.0.0/8"], proxy_header=name)
    found = middleware._context({"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"192.0.2.7")]})
    assert found.as_dict()["context"]["ip"] == "192.0.2.7"


def test_another_header_is_refused(audit_trail: Trail) -> None:
    with pytest.raises(ValueError, match="proxy_header cannot be 'x-real-ip': use x-forwarded-for or forwarded"):
        AuditMiddleware(_no_app, audit_trail, proxy_header="x-real-ip")  # type: ignore[arg-type]


async def _no_app(*_: Any) -> None: ...


def context(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    fields: dict[str, Any] = trailseal.RequestContext.of_headers(headers).as_dict()["context"]
    return fields


def test_only_a_whole_traceparent_counts() -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    found = context((b"traceparent", f"00-{trace}-{span}-01".encode()))
    assert (found["trace_id"], found["span_id"]) == (trace, span)
    for bad in (f"00-{trace}-{span}-01-more".encode(), b"00-\xff", b"<script>"):
        assert "trace_id" not in context((b"traceparent", bad)), bad


def test_request_ids_are_uuids_of_version_7_in_order() -> None:
    ids = [str(context()["request_id"]) for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(len(id) == 36 and id[14] == "7" and id[19] in "89ab" for id in ids)
    assert [id[:13] for id in ids] == sorted(id[:13] for id in ids)


def test_of_a_header_the_first_value_counts_whatever_its_bytes() -> None:
    sent = ((b"user-agent", b'a"\\\n\xff\x00'), (b"user-agent", b"b"), (b"x-request-id", b""), (b"host", b"c"))
    found = context(*sent)
    assert found["user_agent"] == 'a"\\\n\ufffd\x00'
    assert found["correlation_id"] == found["request_id"]
    assert set(found) == {"user_agent", "request_id", "correlation_id"}
    assert len(context((b"user-agent", b"x" * 100_000))["user_agent"]) == 65_536
