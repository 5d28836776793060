"""The command ``trailseal``."""

import sys

from ._trailseal import run_command


def main() -> int:
    return run_command(["trailseal", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
