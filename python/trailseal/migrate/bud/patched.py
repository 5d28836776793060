"""A function that is looked up again at each call.

The document tests services with `patch("….log_audit")`. That replaces the name in its module and not in a
service that had imported the function before. So what they import asks, at each call, what stands under its name
now.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_inside: ContextVar[bool] = ContextVar("trailseal.migrate.bud.patched", default=False)


def looked_up_at_each_call(module: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Of a function that `module` exports under the function's own name."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            current = getattr(sys.modules.get(module), function.__name__, call)
            if current is call or _inside.get():
                return function(*args, **kwargs)
            # The replacement may call what it replaced.
            token = _inside.set(True)
            try:
                replaced: T = current(*args, **kwargs)
                return replaced
            finally:
                _inside.reset(token)

        return call

    return decorate
