"""`AuditService`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

from trailseal import Trail, UnconfirmedError
from trailseal.migrate._home import filled, text
from trailseal.migrate._persons import page, who

from .context import AuditContext, get_audit_context
from .models import CATEGORIES, AuditAction, AuditEvent, AuditLog, AuditStatus, as_id
from .settings import home, mode_in_force

logger = logging.getLogger("trailseal.migrate.fastapi_starter")


class AuditService:
    """Records and lists what one tenant's users did. `audit_repo` and `session` are accepted and never used.

    What is recorded stays, whatever becomes of the business transaction.
    """

    def __init__(self, audit_repo: Any = None, session: Any = None, tenant_id: UUID | str | None = None) -> None:
        self.audit_repo = audit_repo
        self.session = session
        self.tenant_id = tenant_id

    async def log_event(self, event: AuditEvent) -> None:
        """Records an event by the mode that the settings name. It never raises."""
        await self._safely(event)

    async def log_action(
        self,
        action: AuditAction | str,
        entity_type: str,
        entity_id: UUID | str | None = None,
        user_id: UUID | str | None = None,
        changes: dict[str, Any] | None = None,
        status: AuditStatus | str = AuditStatus.SUCCESS,
        error_message: str | None = None,
    ) -> AuditLog | None:
        """Records an action. `None` if that failed, which is logged, or if sampling left it out. It never
        raises."""
        return await self._safely(AuditEvent(action, entity_type, entity_id, user_id, changes, status, error_message))

    async def log_success(
        self,
        action: AuditAction | str,
        entity_type: str,
        entity_id: UUID | str | None = None,
        user_id: UUID | str | None = None,
        changes: dict[str, Any] | None = None,
    ) -> AuditLog | None:
        """Records what succeeded."""
        return await self.log_action(action, entity_type, entity_id, user_id, changes)

    async def log_failure(
        self,
        action: AuditAction | str,
        entity_type: str,
        error_message: str,
        entity_id: UUID | str | None = None,
        user_id: UUID | str | None = None,
    ) -> AuditLog | None:
        """Records what failed. Sampling never leaves it out."""
        return await self.log_action(
            action,
            entity_type,
            entity_id,
            user_id,
            status=AuditStatus.FAILURE,
            error_message=error_message,
        )

    async def list_logs(
        self,
        cursor: str | None = None,
        limit: int = 50,
        action: AuditAction | str | None = None,
        user_id: UUID | str | None = None,
    ) -> tuple[list[AuditLog], str | None, bool]:
        """This tenant's events, the newest first: the page, the cursor of the next one, and whether there is one.

        Raises `ValueError` for a cursor that is not one of this list.
        """
        return await self._page(user_id, limit, cursor, action=text(action))

    async def list_entity_history(
        self,
        entity_type: str,
        entity_id: UUID | str,
        cursor: str | None = None,
        limit: int = 50,
    ) -> tuple[list[AuditLog], str | None, bool]:
        """What happened to an entity, as far as it is this tenant's: as `list_logs`."""
        return await self._page(None, limit, cursor, resource=(entity_type, str(entity_id)))

    async def _page(
        self, user_id: Any, limit: int, cursor: str | None, **filters: Any
    ) -> tuple[list[AuditLog], str | None, bool]:
        if self.tenant_id is None:
            raise ValueError("this AuditService has no tenant_id: it lists one tenant's events")
        tenant = str(self.tenant_id)
        events, after = await asyncio.to_thread(page, home.trail(), user_id, limit, cursor, tenant=tenant, **filters)
        return [AuditLog.from_event(event) for event in events], after, after is not None

    async def _safely(self, event: AuditEvent) -> AuditLog | None:
        try:
            trail = await home.trail_async()
            if mode_in_force(trail) == "async":
                return await self._queue_async(event)
            # Sampled: the trail's policy decides whether it is kept; what is kept is as durable as in mode sync.
            return await self._log_sync(event)
        except Exception as error:
            logger.warning(
                "Failed to record audit log: %s",
                error,
                extra={"action": text(event.action), "entity_type": event.entity_type, "error": str(error)},
            )
            return None

    async def _log_sync(self, event: AuditEvent) -> AuditLog | None:
        """Returns when the event is on disk."""
        return await home.using_async(lambda trail: self._record(trail, event, ack="durable"))

    async def _queue_async(self, event: AuditEvent) -> AuditLog | None:
        """Returns when the event outlives the process; it is on disk some milliseconds later."""
        return await home.using_async(lambda trail: self._record(trail, event))

    async def _record(self, trail: Trail, event: AuditEvent, **how: Any) -> AuditLog | None:
        action = str(text(event.action))
        fields = filled(fields_of(event, action) | {"tenant": text(self.tenant_id)})
        try:
            receipt = await trail.record_async(action, **fields, **how)
        except UnconfirmedError as late:
            logger.warning("An audit log is kept, but was not on disk in time: %s", late)
            return self._entry(late.id, event, fields)
        return self._entry(receipt.id, event, fields) if receipt.is_kept else None

    def _entry(self, id: str, event: AuditEvent, fields: dict[str, Any]) -> AuditLog:
        context = get_audit_context() or AuditContext()
        operator, _ = assumed(event)
        return AuditLog(
            id=as_id(id) or id,
            tenant_id=self.tenant_id,
            action=str(text(event.action)),
            entity_type=event.entity_type,
            entity_id=event.entity_id,
            user_id=event.user_id,
            assumed_by_user_id=as_id(operator),
            changes=event.changes,
            ip_address=context.ip_address,
            user_agent=context.user_agent,
            request_id=context.request_id,
            status=fields["outcome"],
            error_message=event.error_message,
        )


def fields_of(event: AuditEvent, action: str) -> dict[str, Any]:
    operator, reason = assumed(event)
    return who(event.user_id, operator, reason) | {
        "resource": filled({"type": text(event.entity_type), "id": text(event.entity_id)}) or None,
        "changes": event.changes,
        "outcome": text(event.status) or AuditStatus.SUCCESS.value,
        "error": event.error_message,
        "category": CATEGORIES.get(action, "data_change"),
    }


def assumed(event: AuditEvent) -> tuple[Any, str | None]:
    """The operator who acts as the user, as the starter notes it in the changes, and why."""
    identity = event.changes.get("_assumed_identity") if isinstance(event.changes, dict) else None
    if not isinstance(identity, dict):
        return None, None
    return identity.get("operator_user_id"), text(identity.get("reason"))
