"""Django, sync and async.

In ``settings.py``, the middleware behind the authentication, so that it knows who asks::

    MIDDLEWARE = [
        …,
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "trailseal.django.AuditMiddleware",
    ]
    TRAILSEAL = {"dir": BASE_DIR / "trail", "record_mutations": True}

and wherever something is to be recorded::

    from trailseal.django import trail

    trail().record("invoice.approve", resource=("invoice", invoice.pk))

``TRAILSEAL`` has ``dir``, ``settings`` (keywords of ``Trail.open``; several processes need ``{"workers":
"slots"}``), and the keywords of the middleware: ``trusted_proxies``, ``proxy_header``, ``principal``, ``tenant``,
``service`` and
``record_mutations``. ``principal`` and ``tenant`` are functions of the request, or their dotted names.

Under an ASGI server, close the trail when that shuts down; uvicorn ends the process by a signal::

    application = CloseAtShutdown(get_asgi_application(), trail)
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from . import RequestContext, Trail, request_context
from ._client_address import networks
from ._recording import hand_in, let_go, reached, record
from ._request import SAFE_METHODS, Mutation, Settings, context_of, headers_of
from .asgi import CloseAtShutdown
from .context import entered

__all__ = ["AuditMiddleware", "CloseAtShutdown", "trail", "user_of"]

GetResponse = Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]

_KEYS = (
    "dir",
    "settings",
    "trusted_proxies",
    "proxy_header",
    "principal",
    "tenant",
    "service",
    "record_mutations",
)
_opened: Trail | None = None
_opening = threading.Lock()


def _forked() -> None:
    # Another thread may have held it at the fork, and is not there to let it go.
    global _opening
    _opening = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def trail() -> Trail:
    """The trail of ``settings.TRAILSEAL``, opened at its first use."""
    global _opened
    if _opened is not None and not _opened.is_closed:
        return _opened
    with _opening:
        if _opened is None or _opened.is_closed:
            told = _told()
            _opened = Trail.open(told.get("dir", "./trail"), **told.get("settings", {}))
        return _opened


def _told() -> dict[str, Any]:
    told = getattr(settings, "TRAILSEAL", {})
    for key in told:
        if key not in _KEYS:
            raise ImproperlyConfigured(f"TRAILSEAL has no {key!r}: use {', '.join(_KEYS)}")
    return cast("dict[str, Any]", told)


def user_of(request: HttpRequest) -> dict[str, Any] | None:
    """Who is logged in, as Django's authentication knows it."""
    return _actor(getattr(request, "user", None))


def _actor(user: Any) -> dict[str, Any] | None:
    if user is None or not user.is_authenticated:
        return None
    return {"id": str(user.pk), "name": user.get_username()}


class AuditMiddleware:
    """Gives every event that is recorded while a request is handled the request's context. The same as
    :class:`trailseal.asgi.AuditMiddleware`, in Django's form.

    Unless ``principal`` says otherwise, the actor is the user who is logged in: asked when the view begins, so
    that a view of a framework with an authentication of its own calls :func:`trailseal.context.set_actor`.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        told = _told()
        self._principal = _function(told.get("principal"))
        self._settings: Settings[HttpRequest] = Settings(
            trusted_proxies=networks(told.get("trusted_proxies", ())),
            proxy_header=told.get("proxy_header", "x-forwarded-for"),
            principal=self._principal,
            tenant=_function(told.get("tenant")),
            service=told.get("service"),
            records_mutations=bool(told.get("record_mutations", False)),
        )
        if self._is_async:
            markcoroutinefunction(self)
        elif self._principal is None:
            # Django calls it when it knows the view: the session may be asked then, and is not for a path that is
            # none.
            self.process_view = self._say_who

    def __call__(self, request: HttpRequest) -> Any:
        return self._answer_async(request) if self._is_async else self._answer(request)

    def _say_who(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        context = request_context.get()
        if context is not None:
            context.set(actor=user_of(request))

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        context = self._context(request)
        mutation = self._mutation(request)
        with entered(context):
            try:
                response = cast("HttpResponseBase", self.get_response(request))
            except BaseException as error:
                # Django turns what a view raises into a response; this is another middleware's, or the end of all.
                if mutation is not None:
                    record(trail(), mutation.action, mutation.failed(error, _route(request)))
                raise
            if mutation is not None:
                record(trail(), mutation.action, mutation.answered(response.status_code, _route(request)))
            return _streamed(response, context)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        context = self._context(request)
        mutation = self._mutation(request)
        with entered(context):
            if self._principal is None and hasattr(request, "auser"):
                context.set(actor=_actor(await request.auser()))
            try:
                response = await cast("Awaitable[HttpResponseBase]", self.get_response(request))
            except asyncio.CancelledError:
                if mutation is not None:
                    let_go(hand_in(trail(), mutation.action, mutation.given_up(_route(request))))
                raise
            except BaseException as error:
                if mutation is not None:
                    await reached(hand_in(trail(), mutation.action, mutation.failed(error, _route(request))))
                raise
            if mutation is not None:
                fields = mutation.answered(response.status_code, _route(request))
                await reached(hand_in(trail(), mutation.action, fields))
            return _streamed(response, context)

    def _context(self, request: HttpRequest) -> RequestContext:
        meta = request.META
        return context_of(self._settings, request, meta.get("REMOTE_ADDR") or None, headers_of(meta))

    def _mutation(self, request: HttpRequest) -> Mutation | None:
        if not self._settings.records_mutations or request.method in SAFE_METHODS:
            return None
        return Mutation(request.method or "GET", request.path)


def _function(told: Any) -> Any:
    return import_string(told) if isinstance(told, str) else told


def _route(request: HttpRequest) -> str | None:
    match = request.resolver_match
    return f"/{match.route}" if match is not None and match.route is not None else None


def _streamed(response: HttpResponseBase, context: RequestContext) -> HttpResponseBase:
    """What a response yields while it is sent is the request's, too."""
    if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
        content: Any = response.streaming_content
        response.streaming_content = _within_async(content, context) if response.is_async else _within(content, context)
    return response


def _within(content: Iterator[bytes], context: RequestContext) -> Iterator[bytes]:
    while True:
        with entered(context):
            try:
                chunk = next(content)
            except StopIteration:
                return
        yield chunk


async def _within_async(content: AsyncIterator[bytes], context: RequestContext) -> AsyncIterator[bytes]:
    while True:
        with entered(context):
            try:
                chunk = await anext(content)
            except StopAsyncIteration:
                return
        yield chunk
