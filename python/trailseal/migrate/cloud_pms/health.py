"""What the numbers mean by the documented limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .writer import get_audit_stats

Health = Literal["good", "warning", "critical"]
LEVELS: tuple[Health, ...] = ("good", "warning", "critical")


def get_audit_health(stats: Mapping[str, Any] | None = None) -> Health:
    """The worst of the three: success rate (over 99.5 % good, from 98 % warning), queue (under 10 good, to 50
    warning), failures (none good, to 1 % warning). With nothing submitted it is good.

    What is still in the queue has neither succeeded nor failed, so that it lowers no rate.
    """
    stats = stats or get_audit_stats()
    ended = stats["succeeded"] + stats["failed"]
    succeeded = stats["succeeded"] / ended * 100 if ended else 100.0
    failed = 100.0 - succeeded
    return LEVELS[
        max(
            level(succeeded > 99.5, succeeded >= 98.0),
            level(stats["queue_size"] < 10, stats["queue_size"] <= 50),
            level(failed == 0.0, failed <= 1.0),
        )
    ]


def level(is_good: bool, is_bearable: bool) -> int:
    return 0 if is_good else 1 if is_bearable else 2
