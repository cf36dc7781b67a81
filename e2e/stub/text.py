"""Text that is a function of the prompt alone, and goes on exactly from any prefix of itself.

Each word is drawn from a hash of everything before it, as a greedy model draws each token from its context.
So for every prompt and every k: ``text(prompt)[:k] + text(prompt + text(prompt)[:k]) == text(prompt)``,
in characters, also in the middle of a word. A lost, doubled or mixed piece of an answer shows at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from zlib import crc32

ANSWER_HERE = "<|assistant|>\n"
"""Ends a prompt made by `chat_prompt`; what follows it is the answer so far."""
VECTOR_SIZE = 384

_SYLLABLES = [a + b for a in "bdfghjklmnprstvz" for b in "aeio"]
_MARKER = "[1]"
_MARKER_EVERY = 8
_PIECE = re.compile(r"\s?\w{1,6}|\s?[^\w\s]{1,3}|\s+")
_WORD = re.compile(r"\w+")
_PLACES_PER_WORD = 4


def words(prompt: str) -> Iterator[str]:
    """Yield the tokens that follow `prompt`, without end: the rest of a word begun, then a word at a time.

    A token is a word with the space before it; every eighth or so is the citation marker ``[1]``.
    """
    cut = max(prompt.rfind(" "), prompt.rfind("\n"))
    rest = _rest_of_word(prompt, cut) if cut >= 0 else ""
    if rest:
        yield rest
    state = crc32((prompt + rest).encode())
    while True:
        token = " " + word_after(state)
        yield token
        state = crc32(token.encode(), state)


def _rest_of_word(prompt: str, cut: int) -> str:
    """Return what is missing of the word after the separator at `cut`, if it is a word of ours."""
    word, begun = word_after(crc32(prompt[:cut].encode())), prompt[cut + 1 :]
    return word[len(begun) :] if word.startswith(begun) else ""


def word_after(state: int) -> str:
    """Return the word, or citation marker, that a hash of the text before it draws."""
    mixed = state * 0x9E3779B1 >> 8
    if mixed % _MARKER_EVERY == 0:
        return _MARKER
    return _SYLLABLES[mixed >> 3 & 63] + _SYLLABLES[mixed >> 9 & 63] + _SYLLABLES[mixed >> 15 & 63]


def words_so_far(prompt: str) -> int:
    """Return how many whole words of an answer `prompt` already holds, after the last `ANSWER_HERE`.

    A prompt without that mark holds none.
    """
    _, mark, answer = prompt.rpartition(ANSWER_HERE)
    if not mark or not answer:
        return 0
    whole = answer.split()
    begun = bool(_rest_of_word(prompt, max(prompt.rfind(" "), prompt.rfind("\n"))))
    return len(whole) - (begun and not answer[-1].isspace())


def chat_prompt(messages: Sequence[tuple[str, str]]) -> str:
    """Return (role, content) pairs in the stub's chat template, ready for the answer."""
    return "".join(f"<|{role}|>\n{content}\n" for role, content in messages) + ANSWER_HERE


@dataclass(frozen=True, slots=True)
class Piece:
    """A token of a text: where it stands, in characters."""

    id: int
    text: str
    start: int
    stop: int


def pieces(text: str) -> list[Piece]:
    """Return the tokens of a text without a gap: up to six letters, or some signs, with the space before."""
    return [
        Piece(crc32(match.group().encode()) % 32_000, match.group(), match.start(), match.end())
        for match in _PIECE.finditer(text)
    ]


def embedding(text: str) -> list[float]:
    """Return a unit vector of `VECTOR_SIZE` numbers: texts that share words lie near each other."""
    vector = [0.0] * VECTOR_SIZE
    for word in _WORD.findall(text.lower()) or [""]:
        for place in range(_PLACES_PER_WORD):
            drawn = crc32(word.encode(), place)
            vector[drawn % VECTOR_SIZE] += 1.0 if drawn & 1 << 30 else -1.0
    length = sqrt(sum(number * number for number in vector))
    if length == 0:  # words that cancel each other out
        return [1.0, *vector[1:]]
    return [number / length for number in vector]
