"""The loop guard: an answer that only repeats itself ends, with as little of the repetition as can be.

A rule of the text alone, not of the tokens or pieces in which it comes: an answer that is continued by
another replica ends at the same character. It looks at the text as characters and, so that a count that
goes on does not hide a loop ("1. DROP 2. DROP 3. DROP"), as words in which all numbers are equal.
"""

import re
from typing import NamedTuple


class Cycle:
    """Finds with which `period` a sequence of characters repeats at its end, and over how long a `run`.

    The last `run` characters equal those `period` before them. Both are 0 while nothing repeats. A period is
    looked up by the last `gram` characters, so shorter runs are not found. It takes bounded work and memory
    a character: periods and runs are counted up to `window`.
    """

    def __init__(self, gram: int, window: int) -> None:
        self._gram = "\0" * gram
        self._window = window
        self._tail: list[str] = []
        self._before = 0
        self._last: dict[str, int] = {}
        self.period = 0
        self.run = 0

    def push(self, character: str) -> None:
        """Take the next character."""
        tail, period = self._tail, self.period
        tail.append(character)
        self._gram = gram = self._gram[1:] + character
        if period and tail[-1 - period] == character:
            self.run += 1
        elif period or gram in self._last:
            self._look_up()
        self._last[gram] = self._before + len(tail)
        if len(tail) > 3 * self._window:
            self._forget()

    def repeated(self) -> str:
        """Return one period's characters."""
        return "".join(self._tail[-self.period :]) if self.period else ""

    def _look_up(self) -> None:
        self.period = self.run = 0
        tail, window = self._tail, self._window
        period = self._before + len(tail) - self._last.get(self._gram, -window)
        if period > window:
            return
        run, most = len(self._gram), min(window, len(tail) - period)
        while run < most and tail[-1 - run] == tail[-1 - run - period]:
            run += 1
        self.period, self.run = period, run

    def _forget(self) -> None:
        """Keep what a run of the longest period may still be compared with."""
        gone = len(self._tail) - 2 * self._window
        del self._tail[:gone]
        self._before += gone
        self._last = {gram: at for gram, at in self._last.items() if at > self._before + self._window}


class Bounds(NamedTuple):
    """From which run on a cycle is a loop: so many periods, and so long (longer without any letter)."""

    periods: int
    length: int
    without_letters: int
    doubtful: int
    """From this run on nothing more is shown until the run ends."""

    def is_loop(self, cycle: Cycle) -> bool:
        """Return whether what repeats at the end is a loop."""
        if cycle.run < max(self.length, self.periods * cycle.period):
            return False
        return cycle.run >= self.without_letters or any(map(str.isalpha, cycle.repeated()))


CHARACTERS = Bounds(periods=2, length=60, without_letters=240, doubtful=20)
WORDS = Bounds(periods=5, length=24, without_letters=120, doubtful=12)
_CODE = 0x4E00
_CODES = 4_096
_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"[^\W_]{1,24}(?![^\W_])")


class LoopGuard:
    """Passes text on until it loops. `shown` is visible already, and counts as what was passed on."""

    def __init__(self, shown: str = "") -> None:
        self._characters = Cycle(gram=8, window=512)
        self._words = Cycle(gram=3, window=128)
        self._codes: dict[str, str] = {}
        self._word = ""
        self._held = ""
        self._last_shown = shown[-1:]
        self.looped = False
        for character in shown:
            self._read(character)

    def push(self, text: str) -> str:
        """Take text and return what is certain to be visible; nothing after a loop."""
        if self.looped:
            return ""
        visible = ""
        for character in text:
            self._held += character
            self._read(character)
            if self.looped:
                visible += self._rest_of_word(visible[-1:] or self._last_shown)
                break
            if self._characters.run < CHARACTERS.doubtful and self._words.run < WORDS.doubtful:
                visible, self._held = visible + self._held, ""
        self._last_shown = visible[-1:] or self._last_shown
        return visible

    def end(self) -> str:
        """Return what was held back, when the text has ended without a loop."""
        visible, self._held = self._held, ""
        return visible

    def _read(self, character: str) -> None:
        self._characters.push(character)
        if character.isalnum():
            self._word += character
        else:
            if self._word:
                self._words.push(self._code(self._word))
                self._word = ""
            if not character.isspace():
                self._words.push(character)
        self.looped = self.looped or CHARACTERS.is_loop(self._characters) or WORDS.is_loop(self._words)

    def _code(self, word: str) -> str:
        """Return one character for a word: "0" for any number, else one that is a letter."""
        if word.isdigit():
            return "0"
        if len(self._codes) == _CODES:
            self._codes.clear()
        plain = _DIGITS.sub("0", word.casefold())
        return self._codes.setdefault(plain, chr(_CODE + len(self._codes)))

    def _rest_of_word(self, last: str) -> str:
        """Return what is missing of the word in whose middle the visible text would end."""
        rest = _WORD.match(self._held) if last.isalnum() else None
        self._held = ""
        return rest.group() if rest else ""
