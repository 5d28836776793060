"""Django, sync and async, with its own users and sessions."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import django
import httpx
import pytest
from conftest import PATIENCE
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, StreamingHttpResponse
from django.test import Client, override_settings
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "trailseal.django.AuditMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of the tests",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    TRAILSEAL={},
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402

import trailseal.django  # noqa: E402
from trailseal import Trail  # noqa: E402
from trailseal.context import current, set_actor  # noqa: E402
from trailseal.pytest import AssertAudited  # noqa: E402


def note(request: HttpRequest, place: str) -> None:
    trailseal.django.trail().record("seen", details={"user": request.headers.get("x-user"), "place": place})


def change(request: HttpRequest, number: int) -> HttpResponse:
    if "x-user" in request.headers:
        set_actor(request.headers["x-user"])
    note(request, "view")
    return HttpResponse("done")


async def change_async(request: HttpRequest, number: int) -> HttpResponse:
    set_actor(request.headers["x-user"])
    await asyncio.sleep(0)
    note(request, "async view")
    await asyncio.to_thread(note, request, "to_thread")
    return HttpResponse("done")


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("broken")


def denied(request: HttpRequest) -> HttpResponse:
    return HttpResponseForbidden()


def stream(request: HttpRequest) -> StreamingHttpResponse:
    set_actor(request.headers["x-user"])

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            note(request, "stream")
            yield b"x"

    return StreamingHttpResponse(chunks())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    set_actor(request.headers["x-user"])

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0)
            note(request, "async stream")
            yield b"x"

    return StreamingHttpResponse(chunks())


urlpatterns = [
    path("invoices/<int:number>/", change),
    path("async/<int:number>/", change_async),
    path("fails/", fails),
    path("denied/", denied),
    path("stream/", stream),
    path("stream-async/", stream_async),
]


@pytest.fixture
def of_django(audit_trail: Trail, monkeypatch: pytest.MonkeyPatch) -> Trail:
    monkeypatch.setattr(trailseal.django, "_opened", audit_trail)
    return audit_trail


def client_of(**more: Any) -> Client:
    return Client(raise_request_exception=False, **more)


@override_settings(TRAILSEAL={"record_mutations": True})
def test_no_event_has_the_context_of_another_request(of_django: Trail) -> None:
    def one(number: int) -> None:
        headers = {"x-user": f"u{number}", "x-request-id": f"r{number}"}
        if number % 2:
            assert client_of().post(f"/invoices/{number}/", headers=headers).status_code == 200
        else:
            answer: Any = client_of().get("/stream/", headers=headers)
            assert b"".join(answer.streaming_content) == b"xxx"
        assert current() is None

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(200)))
    seen = list(of_django.query(order_by="recorded"))
    assert len(seen) == 100 * 2 + 100 * 3
    for event in seen:
        number = event["context"]["request_id"][1:]
        assert event["actor"]["id"] == f"u{number}"
        assert event["action"] == "http.post" or event["details"]["user"] == f"u{number}"


@override_settings(TRAILSEAL={"record_mutations": True})
def test_no_event_has_the_context_of_another_async_request(of_django: Trail) -> None:
    app: Any = ASGIHandler()

    async def all_at_once() -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("203.0.113.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def one(number: int) -> None:
                headers = {"x-user": f"u{number}", "x-request-id": f"r{number}"}
                match number % 3:
                    case 0:
                        answer = await client.post(f"/async/{number}/", headers=headers)
                    case 1:
                        answer = await client.post(f"/invoices/{number}/", headers=headers)
                    case _:
                        answer = await client.get("/stream-async/", headers=headers)
                assert answer.status_code == 200

            await asyncio.gather(*(one(number) for number in range(210)))

    asyncio.run(all_at_once())
    seen = list(of_django.query(order_by="recorded"))
    assert len(seen) == 70 * 3 + 70 * 2 + 70 * 3
    for event in seen:
        number = event["context"]["request_id"][1:]
        assert event["actor"]["id"] == f"u{number}" and event["context"]["ip"] == "203.0.113.7"
        assert event["action"] == "http.post" or event["details"]["user"] == f"u{number}"


@pytest.mark.parametrize(
    ("path", "status", "outcome", "resource"),
    [
        ("/invoices/7/", 200, "success", "route//invoices/<int:number>/"),
        ("/fails/", 500, "failure", "route//fails/"),
        ("/denied/", 403, "denied", "route//denied/"),
        ("/nowhere/", 404, "failure", "route//nowhere/"),
    ],
)
@override_settings(TRAILSEAL={"record_mutations": True, "trusted_proxies": ["127.0.0.1"], "service": "shop"})
def test_one_event_for_a_request_that_may_change_something(
    path: str, status: int, outcome: str, resource: str, of_django: Trail, assert_audited: AssertAudited
) -> None:
    headers = {"x-forwarded-for": "6.6.6.6, 198.51.100.9", "user-agent": "tester"}
    assert client_of().post(path, headers=headers).status_code == status
    event = assert_audited(action="http.post", outcome=outcome, resource=resource, details__status=status)
    assert event["context"]["ip"] == "198.51.100.9"
    assert (event["context"]["user_agent"], event["context"]["service"]) == ("tester", "shop")
    assert of_django.count(action="http.*") == 1


def test_who_is_logged_in_is_the_actor(of_django: Trail, assert_audited: AssertAudited) -> None:
    call_command("migrate", verbosity=0)
    user = User.objects.create_user("anna", password="x")
    client = client_of()
    client.force_login(user)
    client.post("/invoices/1/")
    event = assert_audited(action="seen", actor="anna")
    assert event["actor"] == {"id": str(user.pk), "name": "anna"}
    client.logout()
    client.post("/invoices/2/")
    assert_audited(action="seen", actor=None)


@override_settings(TRAILSEAL={"principal": f"{__name__}.somebody", "tenant": lambda request: "acme"})
def test_who_it_is_may_be_said_by_a_function(of_django: Trail, assert_audited: AssertAudited) -> None:
    client_of().post("/invoices/1/")
    assert_audited(action="seen", actor="somebody", tenant="acme")


def somebody(request: HttpRequest) -> str:
    return "somebody"


def test_the_trail_of_the_settings_is_opened_once_and_closed_by_the_server(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trailseal.django, "_opened", None)
    with override_settings(TRAILSEAL={"dir": tmp_path / "trail"}):
        with ThreadPoolExecutor(8) as pool:
            opened = list(pool.map(lambda _: trailseal.django.trail(), range(8)))
        assert all(one is opened[0] for one in opened)
        app: Any = trailseal.django.CloseAtShutdown(ASGIHandler(), trailseal.django.trail)

        async def lifetime() -> list[str]:
            messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
            sent: list[str] = []

            async def receive() -> Any:
                return next(messages)

            async def send(message: Any) -> None:
                sent.append(message["type"])

            await app({"type": "lifespan"}, receive, send)
            return sent

        assert asyncio.run(lifetime()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert opened[0].is_closed


@override_settings(TRAILSEAL={"trusted_proxys": []})
def test_a_mistyped_setting_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="TRAILSEAL has no 'trusted_proxys': use dir, settings"):
        Client().get("/")


def test_a_fork_while_another_thread_opens_the_trail(tmp_path: Path) -> None:
    told = {"dir": tmp_path / "t", "settings": {"workers": "slots", "handoff_size": "4MiB", "environment": False}}
    holds, ends = threading.Event(), threading.Event()

    def hold() -> None:
        with trailseal.django._opening:
            holds.set()
            ends.wait(PATIENCE)

    with override_settings(TRAILSEAL=told):
        trailseal.django._opened = None
        thread = threading.Thread(target=hold)
        thread.start()
        assert holds.wait(PATIENCE)
        is_kept, child = False, os.fork()
        if child == 0:
            # Ends a child that waits for what its parent's thread held.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(PATIENCE))
            try:
                is_kept = trailseal.django.trail().record("child").is_kept
            finally:
                os._exit(0 if is_kept else 1)
        _, status = os.waitpid(child, 0)
        ends.set()
        thread.join()
        assert os.waitstatus_to_exitcode(status) == 0
        trailseal.django._opened = None
