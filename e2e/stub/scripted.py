"""Answers that are known beforehand: a mark in the prompt names the text, whatever stands around it.

A prompt that holds ``mark(name, tokens)`` is answered by the same text whether passages were found for the
question or not. What the answer already holds, after the prompt's last `ANSWER_HERE`, decides only where to
go on: an answer that is cut after any character, also inside a token, and continued is the uncut answer, in
text, tokens and finish reason. `expected` says what a client should read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, cycle, islice
from typing import Literal
from zlib import crc32

from e2e.stub.text import ANSWER_HERE, word_after
from penstock.generation.domain.loops import LoopGuard
from penstock.generation.domain.visible import Visible

_MARK = re.compile(r"\{answer:([0-9A-Za-z_.-]+):(\d{1,5})(:loop)?\}")
_OPENING = "{answer:"
_WIDE = ("é", "水門", "𝄞", "ß")
"""Characters of two, three and four bytes; such a token comes after one without text, as half a character
does from a real engine."""

Ending = Literal["length", "eos_token", "stop_sequence"]


@dataclass(frozen=True, slots=True)
class Script:
    """An answer by name, which ends after so many tokens; if it `loops`, it repeats its last words."""

    name: str
    tokens: int
    loops: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    """What a client reads of an answer that is complete: OpenAI's terms."""

    text: str
    finish_reason: Literal["stop", "length"]
    tokens: int


def mark(script: Script) -> str:
    """Return what to write into the question. The name may hold letters, digits, ``_``, ``.`` and ``-``."""
    return f"{{answer:{script.name}:{script.tokens}{':loop' if script.loops else ''}}}"


def script_of(prompt: str) -> tuple[Script, str] | None:
    """Return the script a prompt asks for and the text that is written of it, or None without a mark."""
    if _OPENING not in prompt:
        return None
    question, here, written = prompt.rpartition(ANSWER_HERE)
    marks = _MARK.findall(question if here else prompt)
    if not marks:
        return None
    name, tokens, loops = marks[-1]
    return Script(name, int(tokens), bool(loops)), written if here else ""


def tokens(name: str) -> Iterator[str]:
    """Yield the tokens of a text without end: mostly a word with the white space before it."""
    state = crc32(name.encode())
    while True:
        mixed = state * 0x85EBCA6B >> 7
        token = ("\n" if mixed & 31 == 1 else " ") + word_after(state)
        if mixed >> 5 & 15 == 1:
            token += _WIDE[mixed >> 9 & 3]
            yield ""
        yield token
        state = crc32(token.encode(), state)


@lru_cache(maxsize=4096)
def _beginning(script: Script) -> tuple[str, ...]:
    if not script.loops:
        return tuple(islice(tokens(script.name), script.tokens))
    drawn = crc32(script.name.encode())
    words = tokens(script.name)
    before, repeated = list(islice(words, 3 + drawn % 12)), list(islice(words, 1 + (drawn >> 8) % 6))
    return tuple(islice(chain(before, cycle(repeated)), script.tokens))


def rest(script: Script, written: str) -> tuple[str, ...]:
    """Return the tokens that follow `written`, a prefix of the script's text; inside a token, its rest first.

    A token without text belongs to the one after it, so it comes (again) unless that one is written whole.
    """
    whole = _beginning(script)
    end, start, done = 0, 0, 0
    for index, token in enumerate(whole):
        end += len(token)
        if end > len(written):
            break
        if token:
            done, start = index + 1, end
    begun = len(written) - start
    if begun <= 0 or done == len(whole):
        return whole[done:]
    left = list(whole[done:])
    cut = next((index for index, token in enumerate(left) if token), None)
    if cut is not None:
        left[cut] = left[cut][begun:]
    return tuple(left)


def strays(script: Script, written: str) -> bool:
    """Return whether `written` is no prefix of the script's text: somebody has mixed answers up."""
    return not "".join(_beginning(script)).startswith(written)


def varied(script: Script, written: str, attempt: int) -> tuple[str, ...]:
    """Return a rest that differs with the attempt, as a real engine's does with what else is in its batch."""
    if attempt == 0:
        return rest(script, written)
    done = sum(character in " \n" for character in written)
    return _beginning(Script(f"{script.name}~{attempt}", max(0, script.tokens - done)))


def ended(
    left: Sequence[str], max_new_tokens: int | None, stops: Sequence[str]
) -> tuple[tuple[str, ...], Ending]:
    """Return the tokens that are written of `left` and why no more are, as TGI counts and names it."""
    wanted = len(left) + 1 if max_new_tokens is None else max_new_tokens
    written = tuple(left[:wanted])
    if stops:
        text = ""
        for index, token in enumerate(written, 1):
            text += token
            if any(stop in text for stop in stops):
                return written[:index], "stop_sequence"
    return written, "length" if wanted <= len(left) else "eos_token"


def expected(script: Script, max_tokens: int | None = None, stop: str = "") -> Whole:
    """Return what a client of Penstock reads of this script: without the stop sequence and leading space.

    Where loops are ended: that is for models with `loop_guard`.
    """
    whole = _beginning(script)
    written, ending = ended(whole, max_tokens, [stop] if stop else [])
    if script.loops and (cut := _without_loop(written)) is not None:
        return cut
    text = "".join(written)
    if ending == "stop_sequence":
        text = text[: text.index(stop)]
    return Whole(text.lstrip(), "length" if ending == "length" else "stop", len(written))


def _without_loop(written: Sequence[str]) -> Whole | None:
    """Return what is read of an answer that the guard ends, None of another."""
    visible, text = Visible((), guard=LoopGuard()), ""
    for token in written:
        text += visible.push([token]).text
        if visible.looped:
            return Whole(text.lstrip(), "stop", visible.written)
    return None
