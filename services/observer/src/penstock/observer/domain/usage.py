"""Usage by the hour: how many requests and tokens, by tenant, model and key."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from penstock.observer.domain.viewer import Viewer

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
KEPT_MS = 90 * DAY_MS
REMEMBERED = 50_000
"""So many requests are known by their ids: to count none twice, and to find the key that was used."""
MAX_SUMS = 100_000


class Cell(NamedTuple):
    """What is summed up apart; `api_key` is the beginning of a key, "" where it is not known."""

    at_ms: int
    tenant: str
    model: str
    api_key: str


class Amount(NamedTuple):
    """What was used."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, other: "Amount") -> "Amount":
        """Return both together."""
        return Amount(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: "Amount") -> "Amount":
        """Return what is left without the other."""
        return Amount(*(a - b for a, b in zip(self, other, strict=True)))


class Used(NamedTuple):
    """What one request has used, and when that was recorded (Unix milliseconds)."""

    request_id: str
    tenant: str
    model: str
    time_ms: int
    prompt_tokens: int
    completion_tokens: int


class _Asked(NamedTuple):
    """A request, and whose it is: a record under another's id changes nothing of that one's."""

    tenant: str
    request_id: str


class Sums:
    """Hourly sums. Usage and the key it belongs to come from two topics, in whatever order."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self.cells: dict[Cell, Amount] = {}
        self._remembered = remembered
        self._keys: OrderedDict[_Asked, str] = OrderedDict()
        self._counted: OrderedDict[_Asked, tuple[Cell, Amount]] = OrderedDict()

    def used(self, used: Used) -> None:
        """Count what a request has used; a repetition counts nothing."""
        asked = _Asked(used.tenant, used.request_id)
        if asked in self._counted:
            return
        hour = used.time_ms - used.time_ms % HOUR_MS
        cell = Cell(hour, used.tenant, used.model, self._keys.pop(asked, ""))
        amount = Amount(1, used.prompt_tokens, used.completion_tokens)
        self._add(cell, amount)
        self._counted[asked] = (cell, amount)
        if len(self._counted) > self._remembered:
            self._counted.popitem(last=False)

    def key_of(self, tenant: str, request_id: str, api_key: str) -> None:
        """Note by which key a request was made."""
        asked = _Asked(tenant, request_id)
        if asked not in self._counted:
            self._keys.setdefault(asked, api_key)
            if len(self._keys) > self._remembered:
                self._keys.popitem(last=False)
            return
        cell, amount = self._counted[asked]
        if cell.api_key == "":
            self._take(cell, amount)
            moved = cell._replace(api_key=api_key)
            self._add(moved, amount)
            self._counted[asked] = (moved, amount)

    def points(
        self, viewer: Viewer, since_ms: int, until_ms: int, bucket_ms: int
    ) -> list[tuple[Cell, Amount]]:
        """Return what a viewer may see, in buckets of hours or days (UTC) that touch the time asked for."""
        found: dict[Cell, Amount] = {}
        for cell, amount in self.cells.items():
            at = cell.at_ms - cell.at_ms % bucket_ms
            if at + bucket_ms > since_ms and at < until_ms and viewer.sees(cell.tenant):
                coarse = cell._replace(at_ms=at)
                found[coarse] = found.get(coarse, Amount()).plus(amount)
        return sorted(found.items())

    def restore(self, cells: Iterable[tuple[Cell, Amount]]) -> None:
        """Begin with sums that were kept."""
        self.cells = dict(cells)

    def forget(self, now_ms: int) -> None:
        """Let go of what is old, or too much."""
        old = now_ms - KEPT_MS
        surplus = sorted(self.cells)[: max(0, len(self.cells) - MAX_SUMS)]
        for cell in {*surplus, *(cell for cell in self.cells if cell.at_ms < old)}:
            del self.cells[cell]

    def _add(self, cell: Cell, amount: Amount) -> None:
        self.cells[cell] = self.cells.get(cell, Amount()).plus(amount)

    def _take(self, cell: Cell, amount: Amount) -> None:
        left = self.cells.get(cell, amount).minus(amount)
        if left.requests > 0:
            self.cells[cell] = left
        else:
            self.cells.pop(cell, None)
