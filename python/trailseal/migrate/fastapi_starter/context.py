"""Where a request came from: the starter's names for the request context that every event gets."""

from __future__ import annotations

from dataclasses import dataclass

from trailseal import RequestContext, request_context
from trailseal.migrate._home import filled


@dataclass(frozen=True)
class AuditContext:
    """What is known of the request."""

    ip_address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


def set_audit_context(ip_address: str | None = None, user_agent: str | None = None, request_id: str | None = None) -> None:
    """Sets it for this request. `trailseal.fastapi` has a middleware that does so, and trusts no header
    unasked."""
    known = filled({"ip": ip_address, "user_agent": user_agent, "request_id": request_id})
    current = request_context.get()
    if current is None:
        request_context.set(RequestContext(context=known))
    else:
        current.set(**known)


def get_audit_context() -> AuditContext | None:
    """What is known of this request; `None` outside of one."""
    current = request_context.get()
    if current is None:
        return None
    known = current.as_dict().get("context") or {}
    return AuditContext(known.get("ip"), known.get("user_agent"), known.get("request_id"))


def clear_audit_context() -> None:
    """Forgets it."""
    request_context.set(None)
