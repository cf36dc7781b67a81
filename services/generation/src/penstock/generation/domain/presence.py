"""Whether somebody still waits for an answer: a pure function of what chat.cancellations says, and the time.

A request has a set of connected clients, at first the one that made it, called "first". When the last has
left, a grace begins; one that joins ends it. When the grace is over the request is cancelled, for good.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from penstock.messages.chat import CancelReason, CancelRequested, ClientJoined, ClientLeft, GatewayStarted
from penstock.messages.event import Event

KEEP_MS = 10 * 60 * 1000
"""For how long a request is known after its last event, or the end of its grace."""
MAX_GRACE_MS = 60 * 60 * 1000
"""A longer grace counts as this long, so that what is known stays bounded."""


class Verdict(NamedTuple):
    """What to do with a request: cancel it (`reason`), look again at a time, or (both None) nothing."""

    reason: CancelReason | None = None
    look_again_ms: int | None = None


@dataclass(slots=True)
class _Known:
    """One request. `due_ms`: when its grace ends; `forget_ms`: when nobody will ask any more."""

    clients: set[str] = field(default_factory=lambda: {"first"})
    due_ms: int | None = None
    reason: CancelReason | None = None
    forget_ms: int = 0

    def settle(self, now_ms: int) -> None:
        if self.reason is None and self.due_ms is not None and self.due_ms <= now_ms:
            self.reason = "disconnected"


class Presence:
    """All requests of which something was said lately. Times are Unix milliseconds."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def note(self, request_id: str, event: Event, time_ms: int) -> None:
        """Take note of an event that was written at `time_ms`."""
        if isinstance(event, GatewayStarted):
            return
        known = self._known.setdefault(request_id, _Known())
        known.settle(time_ms)
        if isinstance(event, CancelRequested):
            known.reason = known.reason or "requested"
        elif isinstance(event, ClientJoined):
            known.clients.add(event.connection)
            known.due_ms = None
        elif isinstance(event, ClientLeft) and event.connection in known.clients:
            known.clients.remove(event.connection)
            if not known.clients:
                known.due_ms = time_ms + min(event.grace_ms, MAX_GRACE_MS)
        known.forget_ms = max(time_ms, known.due_ms or 0) + KEEP_MS

    def verdict(self, request_id: str, now_ms: int) -> Verdict:
        """Return what to do with a request now."""
        known = self._known.get(request_id)
        if known is None:
            return Verdict()
        known.settle(now_ms)
        return Verdict(known.reason) if known.reason is not None else Verdict(None, known.due_ms)

    def forget(self, now_ms: int) -> None:
        """Drop requests that nobody will ask about any more."""
        for request_id in [r for r, known in self._known.items() if known.forget_ms <= now_ms]:
            del self._known[request_id]
