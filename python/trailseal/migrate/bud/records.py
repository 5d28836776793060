"""A record as it is read, and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from trailseal.migrate._persons import user_and_operator

HEADERS = (
    "ID",
    "Timestamp",
    "User ID",
    "User Email",
    "User Name",
    "Actioned By ID",
    "Actioned By Email",
    "Actioned By Name",
    "Action",
    "Resource Type",
    "Resource ID",
    "Resource Name",
    "IP Address",
    "Details",
    "Previous State",
    "New State",
    "Record Hash",
)


@dataclass
class AuditRecordEntry:
    """A record, with the fields of budapp's table `audit_trail` and of its answers."""

    id: str
    action: str
    resource_type: str | None
    timestamp: datetime
    created_at: datetime
    user_id: str | None = None
    actioned_by: str | None = None
    resource_id: str | None = None
    resource_name: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    ip_address: str | None = None
    previous_state: Any = None
    new_state: Any = None
    #: SHA-256 of the record as a leaf of the signed tree. Where a list leaves it out, `record_hash_of` has it.
    record_hash: str | None = None
    user_email: str | None = None
    user_name: str | None = None
    actioned_by_email: str | None = None
    actioned_by_name: str | None = None

    @property
    def success(self) -> bool:
        """Whether it ended well."""
        return bool(self.details.get("success", True))

    @classmethod
    def from_event(cls, event: Mapping[str, Any], record_hash: str | None = None) -> AuditRecordEntry:
        """The record of an event that was read from a trail. Its details say `success` and `user_agent`, as
        before."""
        context, resource = event.get("context") or {}, event.get("resource") or {}
        actor = event.get("actor") or {}
        user, operator = user_and_operator(event)
        details = dict(event.get("details") or {})
        details.setdefault("success", event.get("outcome") in ("success", None))
        if "user_agent" in context:
            details.setdefault("user_agent", context["user_agent"])
        entry = cls(
            id=event["id"],
            action=event["action"],
            resource_type=resource.get("type"),
            timestamp=datetime.fromisoformat(event["time"]),
            created_at=datetime.fromisoformat(event["recorded"]),
            user_id=user,
            actioned_by=operator,
            resource_id=resource.get("id"),
            resource_name=resource.get("name"),
            details=details,
            ip_address=context.get("ip"),
            previous_state=event.get("before"),
            new_state=event.get("after"),
            record_hash=record_hash,
        )
        who = (actor.get("email"), actor.get("name"))
        if operator is None:
            entry.user_email, entry.user_name = who
        else:
            entry.actioned_by_email, entry.actioned_by_name = who
        return entry


AuditTrail = AuditRecordEntry


def generate_csv_from_audit_records(records: Iterable[AuditRecordEntry], include_user_info: bool = True) -> str:
    """All records as CSV, in one text."""
    return "".join(csv_lines(records, include_user_info))


def csv_lines(records: Iterable[AuditRecordEntry], include_user_info: bool = True) -> Iterator[str]:
    """The header and then a line for each record, as they come: for a `StreamingResponse`, without a limit."""
    out = io.StringIO()
    writer = csv.writer(out)

    def line(cells: Iterable[str]) -> str:
        writer.writerow(cells)
        written = out.getvalue()
        out.seek(0)
        out.truncate()
        return written

    yield line(HEADERS)
    for record in records:
        yield line(map(sanitize_for_csv, cells_of(record, include_user_info)))


def cells_of(record: AuditRecordEntry, include_user_info: bool) -> list[Any]:
    people = [record.user_email, record.user_name, record.actioned_by_email, record.actioned_by_name]
    if not include_user_info:
        people = [None] * 4
    return [
        record.id,
        record.timestamp.isoformat(),
        record.user_id,
        *people[:2],
        record.actioned_by,
        *people[2:],
        record.action,
        record.resource_type,
        record.resource_id,
        record.resource_name,
        record.ip_address,
        record.details,
        record.previous_state,
        record.new_state,
        record.record_hash,
    ]


def sanitize_for_csv(value: Any) -> str:
    """A cell's text: JSON for what has parts, and nothing that a spreadsheet would take for a formula."""
    if value is None or value == {}:
        return ""
    cell = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    cell = cell.replace("\0", " ")
    return "'" + cell if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def generate_export_filename(prefix: str = "audit_export", extension: str = "csv") -> str:
    """A name with the time in it, in UTC."""
    return f"{prefix}_{datetime.now(UTC):%Y%m%d%H%M%S}.{extension}"
