"""Flask. Two lines are enough::

import trailseal.flask

trail = trailseal.flask.install(app, "./trail")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike

from flask import Flask, current_app, request

from . import Trail, request_context
from ._client_address import ProxyHeader
from ._types import Actor, Id
from .wsgi import AuditMiddleware, Environ

__all__ = ["install", "trail"]

_NAME = "trailseal"
_ROUTE_KEY = "trailseal.route"


def install(
    app: Flask,
    trail: Trail | str | PathLike[str] = "./trail",
    *,
    trusted_proxies: Iterable[str] = (),
    proxy_header: ProxyHeader = "x-forwarded-for",
    principal: Callable[[], Actor | None] | None = None,
    tenant: Callable[[], Id | None] | None = None,
    service: str | None = None,
    record_mutations: bool = False,
) -> Trail:
    """Sets everything up, and gives the trail. ``trail`` is one, or the folder in which it is opened.

    ``principal`` and ``tenant`` say who makes the request that ``flask.request`` is, and of which tenant, for
    example from
    ``flask_login.current_user``. They are asked before the view is. An authentication that knows it later calls
    :func:`trailseal.context.set_actor`. The other keywords are those of :class:`trailseal.asgi.AuditMiddleware`.
    """
    opened = trail if isinstance(trail, Trail) else Trail.open(trail)

    def say_who() -> None:
        if request.url_rule is not None:
            request.environ[_ROUTE_KEY] = request.url_rule.rule
        context = request_context.get()
        if context is None:
            return
        if principal is not None:
            context.set(actor=principal())
        if tenant is not None:
            context.set(tenant=tenant())

    def route(environ: Environ) -> str | None:
        rule = environ.get(_ROUTE_KEY)
        return rule if isinstance(rule, str) else None

    app.before_request(say_who)
    app.extensions[_NAME] = opened
    app.wsgi_app = AuditMiddleware(  # type: ignore[method-assign]
        app.wsgi_app,
        opened,
        trusted_proxies=trusted_proxies,
        proxy_header=proxy_header,
        service=service,
        record_mutations=record_mutations,
        route=route,
    )
    return opened


def trail() -> Trail:
    """The trail of the application that handles this request."""
    opened = current_app.extensions.get(_NAME)
    if not isinstance(opened, Trail):
        raise RuntimeError("no audit trail here: call trailseal.flask.install(app)")
    return opened
