"""What a process is still waiting for, as `/readyz` says it."""

from collections.abc import Mapping


class Readiness:
    """The parts a process needs before it can serve, each ready or waiting for a stated reason.

    Every part starts as waiting, so that a process is not ready by oversight.
    """

    def __init__(self, *parts: str) -> None:
        self._waiting: dict[str, str | None] = dict.fromkeys(parts, "not checked yet")

    def waiting(self, part: str, reason: str) -> None:
        """Say that `part` is not ready, and why."""
        self._waiting[part] = reason

    def ready(self, part: str) -> None:
        """Say that `part` is ready."""
        self._waiting[part] = None

    @property
    def waiting_for(self) -> list[str]:
        """Return `part: reason` for every part that is not ready."""
        return [f"{part}: {reason}" for part, reason in self._waiting.items() if reason is not None]

    @property
    def is_ready(self) -> bool:
        """Return whether nothing is being waited for."""
        return not self.waiting_for

    def body(self) -> Mapping[str, object]:
        """Return the JSON body of `/readyz`."""
        return {"ready": self.is_ready, "waiting_for": self.waiting_for}
