"""Imports what Penstock's commands in this environment need to start: a missing package fails the build."""

import sys
from importlib import metadata


def main() -> None:
    """Load every command; ImportError if one cannot start."""
    for command in metadata.entry_points(group="console_scripts"):
        if command.dist is not None and command.dist.name.startswith("penstock-"):
            command.load()
            sys.stdout.write(f"{command.name} can start\n")


if __name__ == "__main__":
    main()
