"""Which part of what the model wrote is visible, and how many tokens that is."""

from collections import deque
from collections.abc import Iterable, Sequence

from penstock.generation.domain.gather import Piece
from penstock.generation.domain.loops import LoopGuard
from penstock.generation.domain.stop import StopFilter

SILENT_TOKENS = 64
"""So many tokens without text, one after the other, are a loop, too."""


class Visible:
    """Turns the tokens of one attempt into visible text, after `tokens` that are visible already.

    Text ends before a stop sequence, and where the guard, if there is one, finds a loop.

    A token counts when its last character is visible, and one without text (the first half of a character)
    with the next that has some. So whoever continues the visible text with `limit - tokens` tokens writes
    those again that were not visible yet, and no other.
    """

    def __init__(self, stops: Sequence[str], tokens: int = 0, guard: LoopGuard | None = None) -> None:
        self._filter = StopFilter(stops)
        self._guard = guard
        self._silent = 0
        self._ends: deque[tuple[int, int]] = deque()
        self._read = 0
        self._shown = 0
        self._tokens = tokens
        self.before = tokens
        self.written = tokens

    @property
    def stopped(self) -> bool:
        """Whether a stop sequence or a loop has ended the answer."""
        return self._filter.stopped or self.looped

    @property
    def looped(self) -> bool:
        """Whether a loop has ended the answer."""
        return self._guard is not None and (self._guard.looped or self._silent >= SILENT_TOKENS)

    def push(self, texts: Iterable[str]) -> Piece:
        """Take the texts of tokens, up to a stop; return what becomes visible (perhaps nothing)."""
        shown: list[str] = []
        for text in texts:
            self.written += 1
            if text:
                self._read += len(text)
                self._ends.append((self._read, self.written))
            self._silent = 0 if text else self._silent + 1
            shown.append(self._pass(self._filter.push(text)))
            if self.stopped:
                break
        return self._show("".join(shown))

    def end(self) -> Piece:
        """Return what was held back, when the model has ended."""
        return self._show(self._pass(self._filter.end()) + self._rest())

    def _pass(self, text: str) -> str:
        if self._guard is None:
            return text
        passed = self._guard.push(text)
        return passed + self._rest() if self._filter.stopped else passed

    def _rest(self) -> str:
        return self._guard.end() if self._guard is not None else ""

    def _show(self, text: str) -> Piece:
        self._shown += len(text)
        while self._ends and self._ends[0][0] <= self._shown:
            self._tokens = self._ends.popleft()[1]
        return Piece(text, self._tokens)
