"""The audit service of fastapi-starter (`src.app.services.audit_service`) over a trail.

See docs/migrate/fastapi-starter.md.
"""

from .context import AuditContext, clear_audit_context, get_audit_context, set_audit_context
from .models import AuditAction, AuditEvent, AuditLog, AuditStatus
from .service import AuditService, logger
from .settings import AuditSettings, configure, settings

__all__ = [
    "AuditAction",
    "AuditContext",
    "AuditEvent",
    "AuditLog",
    "AuditService",
    "AuditSettings",
    "AuditStatus",
    "clear_audit_context",
    "configure",
    "get_audit_context",
    "logger",
    "set_audit_context",
    "settings",
]
