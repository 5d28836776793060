"""`AuditService`: the calls of budapp's service that record, search, count and verify."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from trailseal.migrate._home import filled, text
from trailseal.migrate._persons import count, every
from trailseal.migrate._proof import leaf_hash, verify_record

from .enums import AuditActionEnum, AuditResourceTypeEnum
from .home import home
from .recorder import record
from .records import AuditRecordEntry, csv_lines

MICROSECOND = timedelta(microseconds=1)


@dataclass
class AuditRecordFilter:
    """Which records are meant. Both dates are included; `resource_name` and `search` are parts, in any case."""

    user_id: Any = None
    actioned_by: Any = None
    action: AuditActionEnum | str | None = None
    resource_type: AuditResourceTypeEnum | str | None = None
    resource_id: Any = None
    resource_name: str | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    ip_address: str | None = None
    search: str | None = None


class AuditService:
    """Records and reads. `session` is accepted and never touched."""

    def __init__(self, session: Any = None) -> None:
        self.session = session

    def create_audit_record(self, audit_data: Any = None, **fields: Any) -> AuditRecordEntry:
        """Records what the schema, the mapping or the keywords say, and raises if it cannot."""
        given = as_fields(audit_data) | fields
        time = given.pop("timestamp", None)
        return self._recorded(**filled(given), time=time)

    def audit_create(
        self,
        resource_type: AuditResourceTypeEnum | str,
        resource_id: Any,
        resource_data: Mapping[str, Any] | None = None,
        user_id: Any = None,
        actioned_by: Any = None,
        ip_address: str | None = None,
        additional_details: Mapping[str, Any] | None = None,
        resource_name: str | None = None,
    ) -> AuditRecordEntry:
        """Something was made."""
        details = {"operation": "create"} | dict(additional_details or {})
        return self._recorded(
            AuditActionEnum.CREATE,
            resource_type,
            resource_id,
            user_id,
            details,
            new_state=resource_data,
            resource_name=resource_name,
            actioned_by=actioned_by,
            ip_address=ip_address,
        )

    def audit_update(
        self,
        resource_type: AuditResourceTypeEnum | str,
        resource_id: Any,
        previous_data: Mapping[str, Any] | None = None,
        new_data: Mapping[str, Any] | None = None,
        user_id: Any = None,
        actioned_by: Any = None,
        ip_address: str | None = None,
        additional_details: Mapping[str, Any] | None = None,
        resource_name: str | None = None,
    ) -> AuditRecordEntry:
        """Something was changed. Its details name the fields; the event's own `changes` has what they were and
        are."""
        before, after = dict(previous_data or {}), dict(new_data or {})
        changed = [key for key in before | after if before.get(key) != after.get(key)]
        details = {"operation": "update", "changed_fields": changed} | dict(additional_details or {})
        return self._recorded(
            AuditActionEnum.UPDATE,
            resource_type,
            resource_id,
            user_id,
            details,
            previous_state=before,
            new_state=after,
            resource_name=resource_name,
            actioned_by=actioned_by,
            ip_address=ip_address,
        )

    def audit_delete(
        self,
        resource_type: AuditResourceTypeEnum | str,
        resource_id: Any,
        resource_data: Mapping[str, Any] | None = None,
        user_id: Any = None,
        actioned_by: Any = None,
        ip_address: str | None = None,
        additional_details: Mapping[str, Any] | None = None,
        resource_name: str | None = None,
    ) -> AuditRecordEntry:
        """Something was deleted."""
        details = {"operation": "delete"} | dict(additional_details or {})
        return self._recorded(
            AuditActionEnum.DELETE,
            resource_type,
            resource_id,
            user_id,
            details,
            previous_state=resource_data,
            resource_name=resource_name,
            actioned_by=actioned_by,
            ip_address=ip_address,
        )

    def audit_access(
        self,
        resource_type: AuditResourceTypeEnum | str,
        resource_id: Any,
        access_type: str,
        granted: bool,
        user_id: Any = None,
        ip_address: str | None = None,
        reason: str | None = None,
    ) -> AuditRecordEntry:
        """Somebody wanted access, and got it or not."""
        action = AuditActionEnum.ACCESS_GRANTED if granted else AuditActionEnum.ACCESS_DENIED
        details = filled({"access_type": access_type, "granted": granted, "reason": reason})
        return self._recorded(action, resource_type, resource_id, user_id, details, ip_address=ip_address)

    def audit_authentication(
        self,
        action: AuditActionEnum | str,
        user_id: Any = None,
        username: str | None = None,
        ip_address: str | None = None,
        success: bool = True,
        reason: str | None = None,
    ) -> AuditRecordEntry:
        """Somebody logged in or out, or tried to."""
        details = filled({"username": username, "reason": reason})
        return self._recorded(
            action,
            AuditResourceTypeEnum.SESSION,
            None,
            user_id,
            details,
            success=success,
            ip_address=ip_address,
        )

    def audit_workflow(
        self,
        workflow_id: Any,
        workflow_type: str,
        action: AuditActionEnum | str,
        user_id: Any = None,
        ip_address: str | None = None,
        status: str | None = None,
        error: str | None = None,
    ) -> AuditRecordEntry:
        """A workflow was started, or ended."""
        details = filled({"workflow_type": workflow_type, "status": status, "error": error})
        return self._recorded(
            action,
            AuditResourceTypeEnum.WORKFLOW,
            workflow_id,
            user_id,
            details,
            success=error is None,
            ip_address=ip_address,
        )

    def get_audit_records(
        self, filter_params: Any = None, offset: int = 0, limit: int = 20, **filters: Any
    ) -> tuple[list[AuditRecordEntry], int]:
        """A page, the newest first, and how many records match in all."""
        wanted = wanted_of(filter_params, filters)
        if wanted.resource_name or wanted.search or wanted.actioned_by is not None:
            found = list(self.iter_audit_records(wanted))
            return found[offset : offset + limit], len(found)
        user, search = search_of(wanted)
        total = count(home.trail(), user, **search)
        return list(islice(self.iter_audit_records(wanted), offset, offset + limit)), total

    def iter_audit_records(self, filter_params: Any = None, **filters: Any) -> Iterator[AuditRecordEntry]:
        """All records that match, the newest first, read as they are taken."""
        wanted = wanted_of(filter_params, filters)
        user, search = search_of(wanted)
        entries = map(AuditRecordEntry.from_event, every(home.trail(), user, **search))
        return (entry for entry in entries if is_named(entry, wanted))

    def get_audit_record_by_id(self, audit_id: Any, include_user: bool = False) -> AuditRecordEntry | None:
        """The record with this id, with its hash."""
        event = home.trail().get(str(audit_id))
        if event is None:
            return None
        return AuditRecordEntry.from_event(event, leaf_hash(home.trail(), event["id"]))

    def export_csv(self, filter_params: Any = None, *, with_hashes: bool = False, **filters: Any) -> Iterator[str]:
        """All records that match as lines of CSV, without a limit: for a `StreamingResponse`.

        `with_hashes` fills the column of the hashes, with one proof for each record.
        """
        entries = self.iter_audit_records(filter_params, **filters)
        return csv_lines(map(hashed, entries) if with_hashes else entries)

    def get_audit_summary(
        self, start_date: datetime | None = None, end_date: datetime | None = None, user_id: Any = None
    ) -> dict[str, Any]:
        """The numbers of budapp's summary, over all records between two dates."""
        total, failures, actions, users = 0, 0, Counter[str](), Counter[str]()
        updated: set[str] = set()
        for entry in self.iter_audit_records(start_date=start_date, end_date=end_date, user_id=user_id):
            total += 1
            failures += not entry.success
            actions[entry.action] += 1
            if entry.user_id is not None:
                users[entry.user_id] += 1
            if entry.action == AuditActionEnum.UPDATE and entry.resource_id is not None:
                updated.add(entry.resource_id)
        return {
            "total_records": total,
            "unique_users": len(users),
            "unique_resources_updated": len(updated),
            "failure_events_count": failures,
            "most_common_actions": [{"action": action, "count": number} for action, number in actions.most_common(10)],
            "most_active_users": [{"user_id": user, "count": number} for user, number in users.most_common(10)],
            "date_range": {
                "start": start_date.isoformat() if start_date else None,
                "end": end_date.isoformat() if end_date else None,
            },
        }

    def verify_audit_record_integrity(self, audit_id: Any) -> tuple[bool, str]:
        """Whether the record is in the signed tree as it was recorded, and a sentence about it."""
        if home.trail().get(str(audit_id)) is None:
            return False, f"Audit record with ID {audit_id} not found"
        return verify_record(home.trail(), str(audit_id))

    def verify_batch_integrity(self, audit_ids: Iterable[Any]) -> dict[Any, tuple[bool, str]]:
        """The same for several."""
        return {audit_id: self.verify_audit_record_integrity(audit_id) for audit_id in audit_ids}

    def find_tampered_records(
        self, start_date: datetime | None = None, end_date: datetime | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """What is wrong with the trail, nothing if it is as it was signed.

        The whole trail is verified, whatever the dates and the limit: a record that is gone has no date.
        """
        trail = home.trail()
        trail.seal()
        verdict = trail.verify()
        return [
            {
                "origin": one.get("origin"),
                "index": one.get("first_bad"),
                "range": one.get("range"),
                "problem": one.get("problem"),
                "message": one.get("message"),
            }
            for one in verdict.get("trails") or [verdict]
            if not one["ok"]
        ]

    def _recorded(self, *args: Any, **fields: Any) -> AuditRecordEntry:
        receipt = record(*args, **fields)
        event = home.trail().get(receipt.id)
        if event is None:
            raise LookupError(f"the record {receipt.id} was left out by the trail's policy")
        return AuditRecordEntry.from_event(event)


def as_fields(given: Any) -> dict[str, Any]:
    """What a mapping, a pydantic model or any object with such attributes says."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return dict(given)
    dump = getattr(given, "model_dump", None)
    return dict(dump()) if dump is not None else dict(vars(given))


def wanted_of(given: Any, filters: Mapping[str, Any]) -> AuditRecordFilter:
    if isinstance(given, AuditRecordFilter):
        given = asdict(given)
    return AuditRecordFilter(**(as_fields(given) | dict(filters)))


def search_of(wanted: AuditRecordFilter) -> tuple[Any, dict[str, Any]]:
    """The user, and the other filters of the trail."""
    kind, id = text(wanted.resource_type), text(wanted.resource_id)
    if id is not None and kind is None:
        resource: Any = [f"{kind}/{id}" for kind in AuditResourceTypeEnum]
    else:
        resource = kind if id is None else (kind, id)
    return wanted.user_id, {
        "actor": text(wanted.actioned_by) if wanted.user_id is None else None,
        "action": text(wanted.action),
        "resource": resource,
        "since": wanted.start_date,
        "until": wanted.end_date and wanted.end_date + MICROSECOND,
        "ip": wanted.ip_address,
    }


def hashed(entry: AuditRecordEntry) -> AuditRecordEntry:
    entry.record_hash = leaf_hash(home.trail(), entry.id)
    return entry


def is_named(entry: AuditRecordEntry, wanted: AuditRecordFilter) -> bool:
    """What the trail's own filters cannot say."""
    name = (entry.resource_name or "").lower()
    if wanted.actioned_by is not None and entry.actioned_by != text(wanted.actioned_by):
        return False
    if wanted.resource_name and wanted.resource_name.lower() not in name:
        return False
    if not wanted.search:
        return True
    search = wanted.search.lower()
    return search in name or search in (entry.ip_address or "").lower()
