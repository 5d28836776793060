"""`audit_mode` and `audit_sample_rate`."""

from __future__ import annotations

import math
import os
import tomllib
from pathlib import Path
from typing import Any, Final, Protocol

from trailseal import Trail
from trailseal.migrate._home import Home

MODES: Final = ("sync", "async", "sampled")


class HasAuditSettings(Protocol):
    """Whatever holds the two settings, such as the application's own `Settings`."""

    audit_mode: Any
    audit_sample_rate: Any


class AuditSettings:
    """The two settings, checked whenever one is set."""

    audit_mode: str
    audit_sample_rate: float

    def __init__(self, audit_mode: str = "sync", audit_sample_rate: float = 1.0) -> None:
        self.audit_mode = audit_mode
        self.audit_sample_rate = audit_sample_rate

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "audit_mode":
            check_mode(value)
        elif name == "audit_sample_rate":
            value = check_rate(value)
        else:
            raise AttributeError(f"there is no setting {name!r}")
        super().__setattr__(name, value)

    @classmethod
    def from_environment(cls) -> AuditSettings:
        """From `AUDIT_MODE` and `AUDIT_SAMPLE_RATE`, as the application's own settings read them."""
        made = cls()
        made.audit_mode = os.environ.get("AUDIT_MODE", made.audit_mode)
        made.audit_sample_rate = check_rate(os.environ.get("AUDIT_SAMPLE_RATE", made.audit_sample_rate))
        return made


def check_mode(mode: Any) -> None:
    if mode not in MODES:
        raise ValueError(f"audit_mode is {mode!r}, and must be one of {', '.join(MODES)}")


def check_rate(rate: Any) -> float:
    try:
        number = float(rate)
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"audit_sample_rate is {rate!r}, and must be a number from 0.0 to 1.0")
    return number


def open_trail(folder: str) -> Trail:
    # The level is asked for event by event; AUDIT_MODE must not ask for it a second time.
    return Trail.open(folder, workers="slots", mode="async")


home = Home(open_trail)
#: What is in force unless `configure` was given something else.
settings = AuditSettings.from_environment()
_given: HasAuditSettings = settings


def configure(given: HasAuditSettings | None = None, *, trail: Trail | None = None) -> None:
    """Takes the application's own settings, and a trail if there is one. Call it when the application starts.

    It raises `ValueError` for a mode that does not exist and a rate outside 0.0 to 1.0. The settings are read
    again for each event, so that a mode that is changed later counts from then on.
    """
    global _given
    wanted = settings if given is None else given
    check_mode(wanted.audit_mode)
    check_rate(wanted.audit_sample_rate)
    _given = wanted
    home.use(trail)


def mode_in_force(trail: Trail) -> str:
    """The mode that the settings name now. The trail's own policy is brought in line where sampling is
    concerned."""
    mode = str(_given.audit_mode)
    check_mode(mode)
    sampled = check_rate(_given.audit_sample_rate) if mode == "sampled" else None
    if _applied.get(trail.dir, ...) != (os.getpid(), sampled):
        bring_in_line(trail, sampled)
        _applied[trail.dir] = os.getpid(), sampled
    return mode


_applied: dict[Path, Any] = {}


def bring_in_line(trail: Trail, sampled: float | None) -> None:
    """Lets the trail sample at this rate; `None`: not at all. A policy that does so already is left alone."""
    policy = tomllib.loads(trail.policy())
    is_sampled = policy.get("mode") == "sampled"
    if sampled is None:
        if is_sampled:
            trail.set_mode("async")
    elif not is_sampled or policy.get("rate") != sampled:
        trail.set_mode("sampled", rate=sampled)
