"""The audit logger of the yacht system Cloud_PMS (`utils.audit_logger`) over a trail.

See docs/migrate/cloud-pms.md.
"""

from .counts import AuditStats, _audit_stats
from .health import Health, get_audit_health
from .home import configure, set_audit_mode
from .log import logger
from .row import row_of
from .stats import audit_stats_router
from .table import AuditedClient, NotInAnAuditLog, wrap
from .writer import (
    AuditExecutor,
    _audit_executor,
    _write_audit_log_impl,
    get_audit_stats,
    shutdown_audit_logger,
    write_audit_log_async,
)

__all__ = [
    "AuditExecutor",
    "AuditStats",
    "AuditedClient",
    "Health",
    "NotInAnAuditLog",
    "_audit_executor",
    "_audit_stats",
    "_write_audit_log_impl",
    "audit_stats_router",
    "configure",
    "get_audit_health",
    "get_audit_stats",
    "logger",
    "row_of",
    "set_audit_mode",
    "shutdown_audit_logger",
    "wrap",
    "write_audit_log_async",
]
