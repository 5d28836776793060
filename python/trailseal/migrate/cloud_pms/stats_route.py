"""The stats endpoint itself. Apart, so that only those who serve it need FastAPI."""

from typing import Any

from fastapi import APIRouter, Response

from .health import get_audit_health
from .writer import get_audit_stats


def router(dependencies: list[Any]) -> APIRouter:
    made = APIRouter(dependencies=dependencies)
    made.get("/admin/audit/stats")(audit_stats)
    return made


def audit_stats(response: Response) -> dict[str, Any]:
    """The numbers of this process, and their health in a header."""
    stats = get_audit_stats()
    response.headers["X-Audit-Health"] = get_audit_health(stats)
    return stats
