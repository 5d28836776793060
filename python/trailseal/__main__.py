"""``python -m trailseal`` is the command ``trailseal``."""

import sys

from ._command import main

sys.exit(main())
