"""The chaos checks of Resync that concern the audit log, with faults that are really injected."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

from .chaos import faults
from .events import log_audit_event_async
from .log import get_audit_log_manager
from .queue import add_audit_records_batch_async, get_audit_queue


@dataclass
class ChaosTestResult:
    """What an experiment showed. It is a success if the application could go on and each loss was counted."""

    test_name: str
    component: str
    duration: float
    success: bool
    error_count: int = 0
    operations_performed: int = 0
    anomalies_detected: list[str] = field(default_factory=list)
    correlation_id: str = ""
    details: dict[str, Any] = field(default_factory=dict)


async def _audit_db_failure_injection(records: int = 50) -> ChaosTestResult:
    """Puts records into the queue, some of them twice, and records events while the storage fails."""
    begun, anomalies = time.monotonic(), list[str]()
    memories = [chaos_memory(number) for number in range(records)]
    repeated = memories[: records // 5]
    ids = await add_audit_records_batch_async(memories + repeated)
    if ids[records:] != [None] * len(repeated):
        anomalies.append("A repeated record was taken a second time")
    if None in ids[:records]:
        anomalies.append(f"Unexpected batch insert failures: {ids[:records].count(None)}")
    queue = await get_audit_queue()
    for memory_id in filter(None, ids):
        await queue.delete_audit_record(memory_id)

    before = faults.metrics()["refused"]
    with faults.on("fails"):
        entry = await log_audit_event_async("chaos.event", "chaos", {"experiment": "audit_db_failure_injection"})
    if entry.recorded:
        anomalies.append("An event was recorded although the storage failed")
    if faults.metrics()["refused"] - before < 1:
        anomalies.append("The fault was not counted")
    entry = await log_audit_event_async("chaos.event", "chaos", {"experiment": "audit_db_failure_injection"})
    if not entry.recorded:
        anomalies.append("No event was recorded after the fault")
    manager = await get_audit_log_manager()
    if "total_records" not in await manager.get_audit_metrics():
        anomalies.append("Audit metrics missing total_records")
    return result("audit_db_failure_injection", begun, anomalies, operations=len(ids) + 3)


async def _component_isolation_testing() -> ChaosTestResult:
    """Cuts the storage off and looks whether the audit log still answers, and whether it says what it lost."""
    begun, anomalies = time.monotonic(), list[str]()
    before = faults.metrics()["refused"]
    with faults.on("cut_off", delay=0.05):
        entry = await log_audit_event_async("chaos.event", "chaos", {"experiment": "component_isolation"})
        manager = await get_audit_log_manager()
        if "total_records" not in await manager.get_audit_metrics():
            anomalies.append("Audit metrics missing total_records while cut off")
    if entry.recorded or faults.metrics()["refused"] - before < 1:
        anomalies.append("The cut was not seen")
    with faults.on("slow", delay=0.05):
        entry = await log_audit_event_async("chaos.event", "chaos", {"experiment": "component_isolation"})
    if not entry.recorded:
        anomalies.append("A slow storage lost an event")
    return result("component_isolation_testing", begun, anomalies, operations=3)


async def _fuzz_audit_records() -> dict[str, Any]:
    """Puts malformed records in; each must be refused, and none may raise."""
    good = chaos_memory(0)
    malformed: list[Any] = [
        {},
        good | {"id": "i" * 256},
        good | {"user_query": "q" * 10_001},
        good | {"agent_response": None},
        good | {"user_query": "nul \0"},
    ]
    ids = await add_audit_records_batch_async(malformed)
    errors = [f"record {number} was accepted" for number, id in enumerate(ids) if id is not None]
    return {"passed": len(ids) - len(errors), "failed": len(errors), "errors": errors}


def chaos_memory(number: int) -> dict[str, Any]:
    return {
        "id": f"chaos_memory_{time.time_ns()}_{number}",
        "user_query": f"Chaos query {number}",
        "agent_response": f"Chaos response {number}",
        "ia_audit_reason": "chaos_test",
        "ia_audit_confidence": random.random(),
    }


def result(name: str, begun: float, anomalies: list[str], operations: int) -> ChaosTestResult:
    return ChaosTestResult(
        test_name=name,
        component="audit",
        duration=time.monotonic() - begun,
        success=not anomalies,
        error_count=len(anomalies),
        operations_performed=operations,
        anomalies_detected=anomalies,
        details={"faults": faults.metrics()},
    )
