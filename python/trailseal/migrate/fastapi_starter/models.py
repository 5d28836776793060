"""What is recorded and what is read: the names and fields of the table `audit_logs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from trailseal.migrate._persons import user_and_operator


class AuditAction(StrEnum):
    """The actions that the starter knows. Any other text is an action, too."""

    USER_LOGIN = "user.login"
    USER_LOGOUT = "user.logout"
    USER_REGISTER = "user.register"
    TOKEN_REFRESH = "token.refresh"
    PASSWORD_CHANGE = "password.change"
    TENANT_CREATE = "tenant.create"
    TENANT_UPDATE = "tenant.update"
    TENANT_DELETE = "tenant.delete"
    MEMBER_INVITE = "member.invite"
    MEMBER_JOIN = "member.join"
    MEMBER_REMOVE = "member.remove"
    MEMBER_ROLE_CHANGE = "member.role_change"
    USER_UPDATE = "user.update"
    USER_EMAIL_VERIFY = "user.email_verify"
    IDENTITY_ASSUMED = "identity.assumed"


class AuditStatus(StrEnum):
    """How it ended."""

    SUCCESS = "success"
    FAILURE = "failure"


#: What kind of action these are; sampling never leaves out what is about security.
CATEGORIES = {
    "user.login": "authentication",
    "user.logout": "authentication",
    "user.register": "authentication",
    "user.email_verify": "authentication",
    "token.refresh": "authentication",
    "password.change": "authentication",
    "identity.assumed": "authorization",
    "member.invite": "authorization",
    "member.join": "authorization",
    "member.remove": "authorization",
    "member.role_change": "authorization",
}


@dataclass
class AuditEvent:
    """What `log_event` records."""

    action: AuditAction | str
    entity_type: str
    entity_id: UUID | str | None = None
    user_id: UUID | str | None = None
    changes: dict[str, Any] | None = None
    status: AuditStatus | str = AuditStatus.SUCCESS
    error_message: str | None = None


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass
class AuditLog:
    """A recorded event. `created_at` is in UTC without a time zone, as the table's column is."""

    id: UUID | str
    tenant_id: UUID | str | None
    action: str
    entity_type: str | None
    entity_id: UUID | str | None = None
    user_id: UUID | str | None = None
    assumed_by_user_id: UUID | str | None = None
    changes: dict[str, Any] | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    status: str = AuditStatus.SUCCESS.value
    error_message: str | None = None
    created_at: datetime = field(default_factory=now)

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> AuditLog:
        """The entry of an event that was read from a trail."""
        context = event.get("context") or {}
        resource = event.get("resource") or {}
        user, operator = user_and_operator(event)
        return cls(
            id=as_id(event["id"]) or "",
            tenant_id=as_id(event.get("tenant")),
            action=event["action"],
            entity_type=resource.get("type"),
            entity_id=as_id(resource.get("id")),
            user_id=as_id(user),
            assumed_by_user_id=as_id(operator),
            changes=event.get("changes"),
            ip_address=context.get("ip"),
            user_agent=context.get("user_agent"),
            request_id=context.get("request_id"),
            status=event.get("outcome") or AuditStatus.SUCCESS.value,
            error_message=event.get("error"),
            created_at=datetime.fromisoformat(event["time"]).astimezone(UTC).replace(tzinfo=None),
        )


def as_id(given: Any) -> UUID | str | None:
    """As a UUID where it is one."""
    try:
        return None if given is None else UUID(str(given))
    except ValueError:
        return str(given)
