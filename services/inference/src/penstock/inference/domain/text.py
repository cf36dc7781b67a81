"""From token ids to text: whole characters only, and an end at the first stop sequence."""

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The bytes behind every token id, and which ids are control tokens that belong to no answer."""

    pieces: Sequence[bytes]
    special: frozenset[int]

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; an id beyond the table has none."""
        return self.pieces[token] if 0 <= token < len(self.pieces) else b""


class Detokenizer(Protocol):
    """Turns the ids of one sequence, one after another, into text."""

    def push(self, token: int) -> str:
        """Return the characters that this token completes."""
        ...


class ByteDetokenizer:
    """For byte-level vocabularies: a table look-up and an incremental UTF-8 decoder.

    A half character is kept until its other bytes come; bytes that can never become a character are left out,
    as OpenVINO's detokenizer does.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decode = codecs.getincrementaldecoder("utf-8")("ignore").decode

    def push(self, token: int) -> str:
        """Return the characters that this token completes."""
        return self._decode(self._vocabulary.piece(token))


class WindowDetokenizer:
    """For any vocabulary: decodes a short window of tokens again and returns what is new in it.

    Same rule as TGI's: text is given out only when it does not end in a replacement character.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._known: list[int] = []
        self._open: list[int] = []

    def push(self, token: int) -> str:
        """Return the characters that this token completes."""
        self._open.append(token)
        before = self._decode(self._known)
        after = self._decode(self._known + self._open)
        if len(after) <= len(before) or after.endswith("\ufffd"):
            return ""
        self._known, self._open = self._open, []
        return after[len(before) :]


class StopMatcher:
    """Finds the first stop sequence in a text that arrives in pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._keep = max((len(stop) for stop in self._stops), default=1) - 1
        self._tail = ""

    def push(self, piece: str) -> int | None:
        """Return how much of the piece belongs to the answer if a stop sequence ends in it, else None.

        The answer ends with the stop sequence itself, as TGI's does.
        """
        if not self._stops or not piece:
            return None
        window = self._tail + piece
        ends = [at + len(stop) for stop in self._stops if (at := window.find(stop)) >= 0]
        if ends:
            return min(ends) - len(self._tail)
        self._tail = window[max(0, len(window) - self._keep) :]
        return None


class TextAssembler:
    """The text of one sequence."""

    def __init__(self, detokenizer: Detokenizer, special: frozenset[int], stops: Sequence[str]) -> None:
        self._detokenizer = detokenizer
        self._special = special
        self._stops = StopMatcher(stops) if stops else None
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        """Return everything so far."""
        return "".join(self._parts)

    def push(self, token: int) -> tuple[str, bool]:
        """Take one token; return the text it adds, and whether a stop sequence ended the answer.

        A control token adds nothing to the answer.
        """
        if token in self._special:
            return "", False
        piece = self._detokenizer.push(token)
        stopped = False
        if self._stops is not None and (cut := self._stops.push(piece)) is not None:
            piece, stopped = piece[:cut], True
        if piece:
            self._parts.append(piece)
        return piece, stopped
