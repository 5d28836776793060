"""`log_audit`, `log_audit_async` and `@audit_event`. What goes wrong here is logged and never reaches the
operation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from typing import Any, ParamSpec, TypeVar

from trailseal.migrate._home import filled, text
from trailseal.migrate._persons import who

from .enums import OUTCOMES, AuditActionEnum, AuditResourceTypeEnum, category_of
from .home import context_of, home
from .log import logger
from .patched import looked_up_at_each_call

P = ParamSpec("P")
T = TypeVar("T")
PACKAGE = "trailseal.migrate.bud"


@looked_up_at_each_call(PACKAGE)
def log_audit(
    session: Any = None,
    action: AuditActionEnum | str = "unknown",
    resource_type: AuditResourceTypeEnum | str = AuditResourceTypeEnum.RESOURCE,
    resource_id: Any = None,
    user_id: Any = None,
    details: Mapping[str, Any] | None = None,
    request: Any = None,
    previous_state: Mapping[str, Any] | None = None,
    new_state: Mapping[str, Any] | None = None,
    success: bool = True,
    resource_name: str | None = None,
    actioned_by: Any = None,
) -> None:
    """Records an event. It never raises.

    `session` is accepted and never touched: neither committed, nor rolled back, nor looked at. `actioned_by` is
    who did it in the name of `user_id`. The client's address and user agent are taken from `request`, or,
    without one, from the request that the middleware knows. All of `details`, `previous_state` and `new_state`
    is kept, whatever the action is, after masking.
    """
    try:
        record(
            action,
            resource_type,
            resource_id,
            user_id,
            details,
            request,
            previous_state,
            new_state,
            success,
            resource_name,
            actioned_by,
        )
    except Exception as error:
        logger.error(
            "Failed to log audit event: %s. Action=%s, ResourceType=%s, ResourceId=%s",
            error,
            text(action),
            text(resource_type),
            text(resource_id),
        )


def record(
    action: Any,
    resource_type: Any,
    resource_id: Any = None,
    user_id: Any = None,
    details: Mapping[str, Any] | None = None,
    request: Any = None,
    previous_state: Any = None,
    new_state: Any = None,
    success: bool = True,
    resource_name: str | None = None,
    actioned_by: Any = None,
    ip_address: str | None = None,
    time: Any = None,
) -> Any:
    """Records an event, and raises what the trail raises. Its receipt."""
    name, kind = str(text(action)), str(text(resource_type))
    context = context_of(request) | filled({"ip": ip_address})
    given = dict(details) if isinstance(details, Mapping) else filled({"details": details})
    error = given.get("error")
    fields = who(user_id, actioned_by) | {
        "resource": filled({"type": kind, "id": text(resource_id), "name": resource_name}),
        "details": given or None,
        "before": previous_state,
        "after": new_state,
        "outcome": OUTCOMES.get(name) or ("success" if success else "failure"),
        "error": said(error) if error is not None and not success else None,
        "category": category_of(name, kind),
        "context": context or None,
        "time": time,
    }
    given_fields = filled(fields)
    receipt = home.using(lambda trail: trail.record(name, **given_fields))
    logger.debug("Audit logged: action=%s, resource_type=%s, resource_id=%s", name, kind, text(resource_id))
    return receipt


def said(error: Any) -> str:
    """What an error says of itself."""
    try:
        return str(error)
    except Exception:
        return type(error).__name__


class Done:
    """What is done already, and may still be awaited."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


@looked_up_at_each_call(PACKAGE)
def log_audit_async(
    session: Any = None,
    action: AuditActionEnum | str = "unknown",
    resource_type: AuditResourceTypeEnum | str = AuditResourceTypeEnum.RESOURCE,
    resource_id: Any = None,
    user_id: Any = None,
    details: Mapping[str, Any] | None = None,
    request: Any = None,
    previous_state: Mapping[str, Any] | None = None,
    new_state: Mapping[str, Any] | None = None,
    success: bool = True,
    resource_name: str | None = None,
    actioned_by: Any = None,
) -> Done:
    """The same as `log_audit`: as a target of `BackgroundTasks`, called, or awaited.

    It is an ordinary function, so that no event is lost where a caller leaves out the `await`.
    """
    log_audit(
        session=session,
        action=action,
        resource_type=resource_type,
        resource_id=resource_id,
        user_id=user_id,
        details=details,
        request=request,
        previous_state=previous_state,
        new_state=new_state,
        success=success,
        resource_name=resource_name,
        actioned_by=actioned_by,
    )
    return Done()


def audit_event(
    action: AuditActionEnum | str,
    resource_type: AuditResourceTypeEnum | str,
    resource_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """The old decorator, for routes that still have it: one event for each call, a failure if it raises.

    `resource_id` is the name of the parameter that holds it. The request is the parameter `request`; the user is
    `current_user_id`, or the `id` of `current_user`. Calls of `log_audit` in the service say more: see
    docs/migrate/bud.md.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        def told(args: Any, kwargs: Any, error: BaseException | None) -> None:
            try:
                given = signature.bind_partial(*args, **kwargs).arguments
            except TypeError:
                given = kwargs
            user = given.get("current_user_id") or getattr(given.get("current_user"), "id", None)
            why = {"error": f"{type(error).__name__}: {said(error)}"} if error is not None else {}
            log_audit(
                session=None,
                action=action,
                resource_type=resource_type,
                resource_id=given.get(resource_id) if resource_id else None,
                user_id=user,
                details=dict(details or {}) | why,
                request=given.get("request"),
                success=error is None,
            )

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                try:
                    result = await function(*args, **kwargs)
                except Exception as error:
                    told(args, kwargs, error)
                    raise
                told(args, kwargs, None)
                return result

            return call_async  # type: ignore[return-value]

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                told(args, kwargs, error)
                raise
            told(args, kwargs, None)
            return result

        return call

    return decorate
