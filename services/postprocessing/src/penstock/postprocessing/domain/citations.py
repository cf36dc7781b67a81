"""Citations: which passages support an answer, and with which words.

A marker such as `[2]` or `[1, 3]` names passages outright. An answer without markers is attributed by
overlap: a passage that shares enough of the answer's meaningful words is cited, or none is.
"""

import re
from collections.abc import Sequence

from penstock.messages.chat import Citation, Passage
from penstock.postprocessing.domain.quotes import Quote
from penstock.postprocessing.domain.text import content_words, sentences

MIN_SHARED_WORDS = 3
MIN_SHARE = 0.25
"""Of the answer's meaningful words: how many, and what share, a passage must contain to be cited."""
MAX_ATTRIBUTED = 3
_MARKER = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")


def cite(answer: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """Return the citations of an answer, in the order of first mention or of support."""
    named = _named(answer, len(passages))
    if named:
        return tuple(_citation(index, passages[index - 1], claim) for index, claim in named.items())
    return tuple(_citation(i, passages[i - 1], answer) for i in _attributed(answer, passages))


def cite_quotes(quotes: Sequence[Quote], passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """Return one citation of each passage that is quoted: its first quote."""
    first: dict[int, Quote] = {}
    for quote in quotes:
        first.setdefault(quote.number, quote)
    return tuple(_cited(quote, passages[quote.number - 1]) for quote in first.values())


def _named(answer: str, count: int) -> dict[int, str]:
    """Return the passages named by markers, each with the sentence around its first marker."""
    named: dict[int, str] = {}
    for marker in _MARKER.finditer(answer):
        for number in marker.group(1).split(","):
            index = int(number)
            if 1 <= index <= count and index not in named:
                named[index] = _sentence_around(answer, marker.start())
    return named


def _sentence_around(answer: str, position: int) -> str:
    before = [(start, end) for start, end in sentences(answer) if start <= position]
    start, end = before[-1] if before else (0, len(answer))
    if not content_words(answer[start:end]) and len(before) > 1:
        start = before[-2][0]  # a marker that stands alone after the full stop
    return answer[start:end]


def _attributed(answer: str, passages: Sequence[Passage]) -> list[int]:
    words = content_words(answer)
    shared = {i: len(words & content_words(p.text)) for i, p in enumerate(passages, 1)}
    enough = [i for i, n in shared.items() if n >= MIN_SHARED_WORDS and n >= MIN_SHARE * len(words)]
    return sorted(enough, key=lambda i: (-shared[i], i))[:MAX_ATTRIBUTED]


def _citation(index: int, passage: Passage, claim: str) -> Citation:
    """Quote the sentence of the passage that shares the most words with the claim, else the whole passage."""
    words = content_words(claim)
    start, end = max(
        sentences(passage.text),
        key=lambda span: len(words & content_words(passage.text[slice(*span)])),
        default=(0, len(passage.text)),
    )
    return _cited(Quote(index, start, end), passage)


def _cited(quote: Quote, passage: Passage) -> Citation:
    return Citation(
        index=quote.number,
        document_id=passage.document_id,
        title=passage.title,
        start=passage.start + quote.start,
        end=passage.start + quote.end,
        quote=passage.text[quote.start : quote.end],
        file_id=passage.file_id,
        file_name=passage.file_name,
        headings=passage.headings,
        page=passage.page,
    )
