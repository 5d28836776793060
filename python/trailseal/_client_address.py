"""The client's address: that of the connection, or the one that a trusted proxy names.

What must hold, as in the Rust layer: nothing that a client sends makes a request fail here, or gives it an address
that no trusted proxy has seen. A proxy writes one header and passes the others on as the client sent them, so only
that one is read.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Literal

ProxyHeader = Literal["x-forwarded-for", "forwarded"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)(?:%[0-9]+)?\]|([0-9.]+)):([0-9]{1,5})")
_IN_BRACKETS = re.compile(r"\[([0-9A-Fa-f:.]+)\]")
_VISIBLE = re.compile(rb"[\t\x20-\x7e]*")


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks such as ``10.0.0.0/8``, and addresses."""
    if isinstance(texts, str):
        texts = (texts,)
    return tuple(_network(text) for text in texts)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not a network: write one such as 10.0.0.0/8, or an address") from None


def client_address(
    peer: str | None, headers: Sequence[bytes], trusted: tuple[Network, ...], written: ProxyHeader
) -> str | None:
    """Walks from the nearest proxy outwards and stops at the first address that is not a trusted proxy's, or at
    the first text that is not an address. ``headers`` are the values of the header that trusted proxies write."""
    known = None if peer is None else _peer(peer)
    if known is None:
        return None
    address, text = known
    if not trusted or not _is_trusted(address, trusted):
        return text
    hops = _x_forwarded_for(headers) if written == "x-forwarded-for" else _forwarded(headers)
    for hop in reversed(hops):
        if hop is None:
            break
        address = hop
        if not _is_trusted(address, trusted):
            break
    return str(address)


def _is_trusted(address: Address, trusted: tuple[Network, ...]) -> bool:
    return any(address in network for network in trusted)


@functools.lru_cache(maxsize=1024)
def _peer(text: str) -> tuple[Address, str] | None:
    # A link-local peer comes with its interface.
    address = _address(text.partition("%")[0])
    return None if address is None else (address, str(address))


def _x_forwarded_for(values: Sequence[bytes]) -> list[Address | None]:
    return [_address(hop.strip()) for value in values for hop in _text(value).split(",")]


def _forwarded(values: Sequence[bytes]) -> list[Address | None]:
    """RFC 7239: ``for`` of each element."""
    hops: list[Address | None] = []
    for element in (element for value in values for element in _text(value).split(",")):
        node = None
        for pair in element.split(";"):
            name, equals, value = pair.partition("=")
            if equals and name.strip().lower() == "for":
                node = value.strip().strip('"')
                break
        hops.append(None if node is None else _address(node))
    return hops


def _text(value: bytes) -> str:
    return value.decode("ascii") if _VISIBLE.fullmatch(value) else ""


def _address(text: str) -> Address | None:
    """An address with or without a port. IPv6 with a port, and in ``Forwarded`` always, is in brackets."""
    if with_port := _WITH_PORT.fullmatch(text):
        if int(with_port[3]) > 65_535:
            return None
        text = with_port[1] or with_port[2]
    elif in_brackets := _IN_BRACKETS.fullmatch(text):
        text = in_brackets[1]
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
