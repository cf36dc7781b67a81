"""Which modules are mutated, and which tests have to notice: quick ones, with everything in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_MESSAGES, _STREAMING = "libs/messages", "libs/streaming"
_GATEWAY = "services/gateway"


@dataclass(frozen=True)
class Module:
    """A file of `member`, and the files of that member's tests which are run against each of its mutants."""

    name: str
    member: str
    tests: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it is in the checkout."""
        package = self.member.rpartition("/")[2]
        return Path(self.member, "src", "penstock", package, f"{self.name}.py")

    @property
    def test_paths(self) -> list[str]:
        """Where its tests are in the checkout: those first that are most likely to notice."""
        return [f"{self.member}/tests/{test}.py" for test in self.tests]


MODULES = (
    Module("reading", _MESSAGES, ("test_reading",)),
    Module("takeover", _STREAMING, ("test_takeover",)),
    Module("watermark", _STREAMING, ("test_watermark",)),
    Module("offsets", _STREAMING, ("test_watermark",)),
    Module("attempts", _STREAMING, ("test_attempts",)),
    Module("request_intake", _GATEWAY, ("test_request_intake",)),
)
