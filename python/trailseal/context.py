"""Whose request is being handled, and where it came from.

A context is one object for one request. Everything that the request does holds the same object: its tasks, its
thread pools, its background tasks, since each of them runs in a copy of the ``contextvars`` of the request. So
what becomes known late, such as who it is, reaches all of them. What must hold: no event gets the context of
another request.

Not carried by Python itself: ``loop.run_in_executor``, an executor of your own, ``threading.Thread``. Wrap what
you hand to them in :func:`carry`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

from . import RequestContext, request_context
from ._types import Actor, Id

__all__ = ["RequestContext", "carry", "current", "entered", "on_behalf_of", "set_actor", "set_tenant"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

# So long a chain of delegation is told; the rest is counted.
_CHAIN_MAX = 8


def current() -> RequestContext | None:
    """The context of the request that is being handled here, if any."""
    return request_context.get()


@contextmanager
def entered(context: RequestContext | None) -> Iterator[RequestContext | None]:
    """Does what is inside of ``with`` in this context: jobs, consumers of a queue, commands.

    >>> with entered(RequestContext(actor="nightly-report", context={"request_id": "run-7"})):
    ...     trail.record("report.make")
    """
    token = request_context.set(context)
    try:
        yield context
    finally:
        request_context.reset(token)


def set_actor(actor: Actor | None, *, tenant: Id | None = None, on_behalf_of: Actor | None = None) -> None:
    """Says who makes the request, as soon as that is known. Holds for events that are recorded after it.

    Outside of a request it does nothing, so that what calls it can be called by a test or a job, too.
    """
    context = request_context.get()
    if context is None:
        return
    context.set(actor=actor)
    if tenant is not None:
        context.set(tenant=tenant)
    if on_behalf_of is not None:
        context.set(on_behalf_of=on_behalf_of)


def set_tenant(tenant: Id | None) -> None:
    """Says whose data the request is about."""
    context = request_context.get()
    if context is not None:
        context.set(tenant=tenant)


def carry(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """The function in the context that is in force now, wherever it is called: in a thread or an executor of your
    own.

    >>> threading.Thread(target=carry(make_report)).start()
    >>> loop.run_in_executor(None, carry(make_report))
    """
    context = copy_context()

    @functools.wraps(function)
    def carried(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        # A copy for each call: one context cannot be entered twice at once.
        return context.copy().run(function, *args, **kwargs)

    return carried


def on_behalf_of(claims: Mapping[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    """Actor and ``on_behalf_of`` of an event, from the claims of a token that was exchanged (RFC 8693).

    Where the token has an ``act`` claim, the party named there acts for the token's subject. Only the outermost
    ``act`` is who acts now; those inside of it acted earlier, and are kept in ``chain``. Without ``act`` the
    subject acts for itself. Check the token's signature first: this reads what it says.

    >>> actor, for_whom = on_behalf_of({"sub": "anna", "act": {"sub": "agent-7"}})
    >>> actor, for_whom
    ('agent-7', {'id': 'anna'})
    """
    subject = _subject(claims)
    acts = claims.get("act")
    if not isinstance(acts, Mapping):
        return subject, None
    for_whom: dict[str, Any] = {"id": subject} if subject is not None else {}
    chain: list[str | None] = []
    earlier, left_out = acts.get("act"), 0
    # A token may be hostile, and its nesting deep.
    while isinstance(earlier, Mapping):
        if len(chain) < _CHAIN_MAX:
            chain.append(_subject(earlier))
        else:
            left_out += 1
        earlier = earlier.get("act")
    if chain:
        for_whom["chain"] = chain
    if left_out:
        for_whom["chain_left_out"] = left_out
    return _subject(acts), for_whom


def _subject(claims: Mapping[str, Any]) -> str | None:
    for name in ("sub", "client_id"):
        value = claims.get(name)
        if isinstance(value, str) and value:
            return value
    return None
