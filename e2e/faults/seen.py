"""What a client has read of one answer: plain data, filled by the client and judged by the checker."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from e2e.faults.asks import Ask

State = Literal["completed", "failed", "cancelled", "left", "refused", "lost"]
"""`left`: the client went away on purpose; `refused`: never acknowledged; `lost`: acknowledged, and no end
came in time."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that arrived at `moment` (Unix seconds); `event` is the id of its event, None without one."""

    moment: float
    event: int | None
    text: str


@dataclass(frozen=True, slots=True)
class End:
    """How it ended for the client, and when."""

    state: State
    moment: float
    finish_reason: str | None = None
    tokens: int | None = None
    code: str = ""


@dataclass(slots=True)
class Seen:
    """One client's view. `asked` and `acknowledged` are Unix seconds."""

    ask: Ask
    asked: float
    request_id: str = ""
    acknowledged: float | None = None
    pieces: list[Piece] = field(default_factory=list)
    end: End | None = None
    last_event: int | None = None
    """The id of the last event that was read, of whatever kind."""
    resumed: int = 0
    """How often the client came back after its connection had broken."""
    troubles: list[str] = field(default_factory=list)
    """What broke, in a few words each."""
    other_ids: set[str] = field(default_factory=set)
    """Ids that the same Idempotency-Key was answered with, other than the first."""

    @property
    def text(self) -> str:
        """All that was read, in the order in which it came."""
        return "".join(piece.text for piece in self.pieces)

    def longest_pause(self, begin: float = 0.0, end: float = float("inf")) -> float:
        """The longest silence between two pieces that overlaps the given time, in seconds."""
        moments = [piece.moment for piece in self.pieces]
        pairs = pairwise(moments)
        return max((b - a for a, b in pairs if b >= begin and a <= end), default=0.0)
