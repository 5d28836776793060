"""The audit operations of budapp (`budapp.audit_ops`) over a trail.

See docs/migrate/bud.md.
"""

from .enums import AuditActionEnum, AuditResourceTypeEnum
from .home import configure
from .log import logger
from .recorder import audit_event, log_audit, log_audit_async
from .records import (
    AuditRecordEntry,
    AuditTrail,
    csv_lines,
    generate_csv_from_audit_records,
    generate_export_filename,
    sanitize_for_csv,
)
from .service import AuditRecordFilter, AuditService

__all__ = [
    "AuditActionEnum",
    "AuditRecordEntry",
    "AuditRecordFilter",
    "AuditResourceTypeEnum",
    "AuditService",
    "AuditTrail",
    "audit_event",
    "configure",
    "csv_lines",
    "generate_csv_from_audit_records",
    "generate_export_filename",
    "log_audit",
    "log_audit_async",
    "logger",
    "sanitize_for_csv",
]
