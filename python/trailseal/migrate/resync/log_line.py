"""Every event also as a line `AUDIT_EVENT` in the application's log, without its secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from trailseal._trailseal import to_json

from .entry import AuditEntry

logger = logging.getLogger("trailseal.migrate.resync")

#: Whole keys, in lower case, whose values do not go into a log line.
SECRET_KEYS = frozenset(
    (
        *("password", "secret", "key", "token", "api_key", "auth", "credentials"),
        *("credit_card", "card_number", "cvv", "cvv2", "pin", "ssn", "social_security"),
    )
)
#: Parts of keys that a log line does not show either. In the trail its own masking decides.
SECRET_PARTS = (
    *("password", "secret", "token", "credential", "authorization", "cookie"),
    *("api_key", "apikey", "private_key"),
)
DEPTH_MAX = 16


def _sanitize_audit_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """The details without what their keys call a secret; in lists, too, and all of what a secret's key holds."""
    sanitized: dict[str, Any] = sanitize(details, DEPTH_MAX)
    return sanitized


def sanitize(value: Any, depth: int) -> Any:
    if depth == 0:
        return "..."
    if isinstance(value, Mapping):
        return {key: "REDACTED" if is_secret(key) else sanitize(held, depth - 1) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [sanitize(held, depth - 1) for held in value]
    return value


def is_secret(key: Any) -> bool:
    key = said(key).lower()
    return key in SECRET_KEYS or any(part in key for part in SECRET_PARTS)


def said(key: Any) -> str:
    try:
        return str(key)
    except Exception:
        return type(key).__name__


def log_line(entry: AuditEntry) -> None:
    """To structlog if the application has set it up, else to `logging`. It never raises."""
    try:
        fields = {
            "action": entry.action,
            "user_id": entry.user_id,
            "details": _sanitize_audit_details(entry.details),
            "event_type": "audit",
            "correlation_id": entry.correlation_id,
            "severity": entry.severity,
            "timestamp": entry.timestamp.isoformat(),
            "source_component": entry.source_component,
            "event_id": entry.id,
        }
        structlog = sys.modules.get("structlog")
        if structlog is not None and structlog.is_configured():
            structlog.get_logger("trailseal.migrate.resync").info("AUDIT_EVENT", **fields)
        elif logger.isEnabledFor(logging.INFO):
            text = to_json(fields)
            logger.info("AUDIT_EVENT %s", text, extra={"audit": fields, "event_type": "audit"})
    except Exception:
        logger.exception("The log line of an audit event failed; the event itself is recorded")
