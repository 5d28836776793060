"""The stats endpoint, for applications that serve it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import APIRouter


def audit_stats_router(*, dependencies: Sequence[Any]) -> APIRouter:
    """`GET /admin/audit/stats` with the documented answer, and the health in the header `X-Audit-Health`.

    `dependencies` say who may ask, such as `[Depends(require_admin)]`. The document asks for none: to do the
    same, give `[]`.
    """
    from .stats_route import router

    return router(list(dependencies))
