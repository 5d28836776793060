"""Where budapp's events go, and whose word about a client's address counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trailseal import Trail, request_context
from trailseal._client_address import Network, client_address, networks
from trailseal.migrate._home import Home, filled

from .log import logger


def open_trail(folder: str) -> Trail:
    """A trail for several worker processes, that masks what budapp's own list masks, and more."""
    return Trail.open(folder, workers="slots", mask_preset="003")


home = Home(open_trail)
_trusted: tuple[Network, ...] = ()
_is_told = False


def configure(trail: Trail | None = None, *, trusted_proxies: Iterable[str] = ()) -> None:
    """Records into `trail` from now on; it stays the caller's to close.

    `X-Forwarded-For` is believed if it comes from `trusted_proxies`, such as `["10.0.0.0/8"]`, and from nobody
    else: with it anybody can say any address.
    """
    global _trusted, _is_told
    _trusted, _is_told = networks(trusted_proxies), False
    home.use(trail)


def context_of(request: Any) -> dict[str, str]:
    """The client's address and user agent, as far as a request tells them. It may be over already."""
    if request is None:
        return {}
    try:
        return told_by(request)
    except Exception as error:
        # Nothing about a request may keep its event out.
        logger.warning("A request's address and user agent could not be read: %s", error)
        return {}


def told_by(request: Any) -> dict[str, str]:
    global _is_told
    headers = request.headers
    current = request_context.get()
    known = (current.as_dict().get("context") or {}) if current is not None else {}
    if "ip" in known:
        # The middleware has judged the address already, by its own settings.
        return filled({"ip": known["ip"], "user_agent": known.get("user_agent", headers.get("user-agent"))})
    peer = request.client.host if request.client else None
    forwarded = [value for value in header_values(headers, "x-forwarded-for") if value]
    written = [value.encode("ascii", "replace") for value in forwarded]
    # A server that believes its proxy itself has put the client in the peer's place.
    is_believed = any(str(peer) in value for value in forwarded)
    if forwarded and not (_trusted or _is_told or is_believed):
        _is_told = True
        logger.warning(
            "X-Forwarded-For came from %s and is not believed: if that is your proxy, call "
            "trailseal.migrate.bud.configure(trusted_proxies=[...])",
            peer,
        )
    ip = client_address(peer, written, _trusted, "x-forwarded-for") or peer
    return filled({"ip": ip, "user_agent": headers.get("user-agent")})


def header_values(headers: Any, name: str) -> list[str]:
    getlist = getattr(headers, "getlist", None)
    if getlist is not None:
        return [str(value) for value in getlist(name)]
    value = headers.get(name)
    return [] if value is None else [str(value)]
