"""Where this module's log lines go."""

from __future__ import annotations

import logging

logger = logging.getLogger("trailseal.migrate.bud")
