"""Which part of what the model wrote is visible, and how many tokens that is."""

from collections import deque
from collections.abc import Iterable, Sequence

from penstock.generation.domain.gather import Piece
from penstock.generation.domain.stop import StopFilter


class Visible:
    """Turns the tokens of one attempt into visible text, after `tokens` that are visible already.

    A token counts when its last character is visible, and one without text (the first half of a character)
    with the next that has some. So whoever continues the visible text with `limit - tokens` tokens writes
    those again that were not visible yet, and no other.
    """

    def __init__(self, stops: Sequence[str], tokens: int = 0) -> None:
        self._filter = StopFilter(stops)
        self._ends: deque[tuple[int, int]] = deque()
        self._read = 0
        self._shown = 0
        self._tokens = tokens
        self.before = tokens
        self.written = tokens

    @property
    def stopped(self) -> bool:
        """Whether a stop sequence has ended the answer."""
        return self._filter.stopped

    def push(self, texts: Iterable[str]) -> Piece:
        """Take the texts of tokens, up to a stop sequence; return what becomes visible (perhaps nothing)."""
        shown: list[str] = []
        for text in texts:
            self.written += 1
            if text:
                self._read += len(text)
                self._ends.append((self._read, self.written))
            shown.append(self._filter.push(text))
            if self._filter.stopped:
                break
        return self._show("".join(shown))

    def end(self) -> Piece:
        """Return what was held back, when the model has ended."""
        return self._show(self._filter.end())

    def _show(self, text: str) -> Piece:
        self._shown += len(text)
        while self._ends and self._ends[0][0] <= self._shown:
            self._tokens = self._ends.popleft()[1]
        return Piece(text, self._tokens)
