"""Stacks that are operated upon by the penstock command, and one whose programs are a release's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from e2e.faults.stand import Setup, Stand
from e2e.operations.releases import Current, jars


class OperatedStand(Stand):
    """As `Stand`; says nothing."""

    def __init__(self, setup: Setup, folder: Path) -> None:
        super().__init__(setup, folder, lambda _: None)

    def programs(self, services: Sequence[str]) -> dict[str, str]:
        """Return the command lines of all replicas of some services."""
        found = {}
        for service in services:
            for name in self.names(service):
                line = Path(f"/proc/{self.pid(name)}/cmdline").read_bytes()
                found[name] = line.replace(b"\0", b" ").decode().strip()
        return found


class ReleaseStand(OperatedStand):
    """A stack that is started by the Python behind `current`."""

    def __init__(self, setup: Setup, folder: Path, current: Current) -> None:
        super().__init__(setup, folder)
        self._current = current

    def _command(self) -> list[str]:
        counts = ",".join(f"{service}={count}" for service, count in self.setup.replicas.items())
        module = ["-m", "penstock.devstack.cli", "up"]
        return [str(self._current.python), *module, *(["--replicas", counts] if counts else [])]

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"PENSTOCK_KAFKA_JARS": str(jars())}
