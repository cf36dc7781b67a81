"""What a question looks for, without the words that only ask: query reduction.

"Can you tell me how to remove an aggregate function, please?" looks for "remove an aggregate function". What
stands around it moves an embedding away from the passage, and meets words there that say nothing. The words
are English; of a question in another language little or nothing is taken.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from penstock.retrieval.domain.asking_words import (
    ASKER,
    ASKING,
    CHOOSING,
    DETERMINERS,
    DOING,
    ENDING,
    EXPLAINING,
    GENERIC,
    LEADING_ON,
    NAMING,
    POSSIBLE,
    SUBJECTS,
)

MOST_CHARACTERS = 2_000
"""A longer question is searched for as it is."""

_FAR = 1.5
_SHORT_BRIDGE, _LONG_BRIDGE = 2, 4
_PART = re.compile(r".+?(?:[.?!;:](?=\s)|\n+|$)", re.DOTALL)
_TOKEN = re.compile(r"\w(?:[\w.+#'’-]*[\w+#])?|[\"“”„«»`]")
_IN_ORDER = re.compile(r"\bin order to\b", re.IGNORECASE)
_WHERE = re.compile(r"\s+in\s+[^\s,]+(?:\s+[\d.]+)?$", re.IGNORECASE)


class Query(NamedTuple):
    """`core` is what is looked for, for an embedding; `words` are all words but those that only ask."""

    core: str
    words: str


class _Token(NamedTuple):
    word: str
    start: int
    end: int


class _Stretch(NamedTuple):
    """Words between those that only ask, and whether the question asks for just them."""

    text: str
    words: int
    asked: bool


@lru_cache(maxsize=256)  # a question is reduced ahead of its search, and for it
def reduced(question: str) -> Query:
    """Return what a question looks for; where no word would be left, all of it."""
    if len(question) > MOST_CHARACTERS:
        return Query(question, question)
    found = list(_stretches(question))
    if not found:
        return Query(question, question)
    return Query(_core(found), " ".join(one.text for one in found))


def _core(found: Sequence[_Stretch]) -> str:
    """Return the stretch that is by far the longest, or all of them; less a place like "in Python 3".

    What is asked for counts alone, if it is more than a word.
    """
    several = [one for one in found if one.asked and one.words > 1] or found
    longest, *others = sorted(several, key=lambda one: -one.words)
    alone = not others or longest.words >= _FAR * others[0].words
    core = longest.text if alone else " ".join(one.text for one in several)
    without_place = _WHERE.sub("", core)
    return without_place if len(without_place.split()) > 1 else core


def _stretches(question: str) -> Iterator[_Stretch]:
    """Yield the stretches of all sentences; what follows "... does this:" is what is asked for."""
    announced = False
    for match in _PART.finditer(_IN_ORDER.sub("to", question)):
        sentence = match.group().strip()
        tokens = _tokens(sentence)
        begin, end = _bounds(tokens)
        asked = announced or sentence.endswith("?")
        announced = sentence.endswith(":") and (begin > 0 or end < len(tokens))
        for first, last in _between([token.word for token in tokens], begin, end):
            text = sentence[tokens[first].start : tokens[last - 1].end]
            content = sum(token.word not in ASKING - GENERIC for token in tokens[first:last])
            yield _Stretch(text, content, asked and not announced)


def _tokens(sentence: str) -> list[_Token]:
    """Return the words and quotation marks of a sentence, less a last clause that only asks: ", can you?"."""
    clauses, _, last = sentence.rpartition(",")
    tokens = [_Token(t.group().casefold().replace("’", "'"), *t.span()) for t in _TOKEN.finditer(sentence)]
    if clauses and all(t.group().casefold() in ASKING for t in _TOKEN.finditer(last)):
        return [token for token in tokens if token.start < len(clauses)]
    return tokens


def _bounds(tokens: Sequence[_Token]) -> tuple[int, int]:
    """Return where what is looked for begins and ends."""
    words = [token.word for token in tokens]
    begin = next((n for n, word in enumerate(words) if word not in ASKING), len(words))
    if begin == len(words):
        return begin, begin
    begin -= _subjects(words[:begin])
    return begin, _end(words, begin)


def _end(words: Sequence[str], begin: int) -> int:
    """Return where what is looked for ends: before words like "called", or "and I don't know how"."""
    end = next(n for n in range(len(words), begin, -1) if words[n - 1] not in ENDING)
    first = next(n for n in range(end, begin, -1) if words[n - 1] not in ASKING)
    while first < end and words[first] in GENERIC:
        first += 1
    return first if (ASKER | CHOOSING) & set(words[first:end]) else end


def _subjects(before: Sequence[str]) -> int:
    """Return how many of the last words before what is looked for are a part of it."""
    *_, third, second, last = ("", "", "", *before)
    if last in DETERMINERS and second in DOING and (third in ASKER or third == "to"):  # "do I list the files"
        return 2
    if last in GENERIC and second in CHOOSING:  # "which command removes"
        return 0
    return int(last in SUBJECTS - EXPLAINING)  # "list files", "page cache"


def _between(words: Sequence[str], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches between words that ask, as of "JSON module (do I use to) parse text"."""
    start = here = begin
    while here < end:
        after = here
        while after < end and words[after] in ASKING:
            after += 1
        if start < here < after < end:
            named = begin > 0 and words[begin - 1] in NAMING
            bridge = _bridge(words, here, after, named=named)
            if bridge < after:
                yield start, bridge
                start = after
        here = max(after, here + 1)
    if start < end:
        yield start, end


def _bridge(words: Sequence[str], first: int, last: int, *, named: bool) -> int:
    """Return from where on words that ask, from `first` to `last`, part a sentence; `last`: nowhere.

    `named`: the sentence begins with "the" or "which".
    """
    if named and words[first] in GENERIC and words[last - 1] in LEADING_ON:  # "the SQL command to"
        return first
    while first < last and words[first] in GENERIC:  # of what is before: "page cache size"
        first += 1
    inner = set(words[first:last])
    length = last - first
    if (length >= _SHORT_BRIDGE and ASKER & inner) or (length >= _LONG_BRIDGE and POSSIBLE & inner):
        return first
    return last
