"""Resync's audit log (`resync.core.audit_log`, `.audit_queue`, `.logger`, `.encrypted_audit`) over a trail.

See docs/migrate/resync.md.
"""

from .chaos import Faults, StorageFault, faults
from .db import AuditDB
from .encrypted import (
    EncryptedAuditConfig,
    EncryptedAuditEntry,
    EncryptedAuditTrail,
    get_encrypted_audit_trail,
)
from .entry import AuditEntry
from .events import log_audit_event, log_audit_event_async
from .experiments import (
    ChaosTestResult,
    _audit_db_failure_injection,
    _component_isolation_testing,
    _fuzz_audit_records,
)
from .home import configure
from .log import AuditLog, get_audit_log, get_audit_log_manager
from .log_line import _sanitize_audit_details
from .queue import (
    AsyncAuditQueue,
    AuditQueue,
    IAuditQueue,
    add_audit_records_batch,
    add_audit_records_batch_async,
    get_audit_queue,
    initialize_audit_queue,
)

__all__ = [
    "AsyncAuditQueue",
    "AuditDB",
    "AuditEntry",
    "AuditLog",
    "AuditQueue",
    "ChaosTestResult",
    "EncryptedAuditConfig",
    "EncryptedAuditEntry",
    "EncryptedAuditTrail",
    "Faults",
    "IAuditQueue",
    "StorageFault",
    "_audit_db_failure_injection",
    "_component_isolation_testing",
    "_fuzz_audit_records",
    "_sanitize_audit_details",
    "add_audit_records_batch",
    "add_audit_records_batch_async",
    "configure",
    "faults",
    "get_audit_log",
    "get_audit_log_manager",
    "get_audit_queue",
    "get_encrypted_audit_trail",
    "initialize_audit_queue",
    "log_audit_event",
    "log_audit_event_async",
]
