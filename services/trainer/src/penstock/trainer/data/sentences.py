"""Whole sentences and the words that carry their content."""

from __future__ import annotations

import re

SHORTEST, LONGEST = 25, 230
"""Characters of a sentence that may be an answer; 230 are about 55 tokens."""

_END = re.compile(
    r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\betc\.)(?<!\bvs\.)(?<!\bcf\.)(?<!\bNo\.)(?<!\bresp\.)(?<=[.!?])"
    r"[)\"”]?\s+(?=[A-Z\"“`(<\-'‘])"
)
# A sentence that points at what it does not say itself is no answer.
_POINTS = re.compile(
    r"\b(?:following|previous|next section|see also|see the|example|as follows|for (?:details|more)|likewise|"
    r"this (?:section|chapter|page|document|manual)|described (?:in|later)|the former|the latter|these are|"
    r"note that|(?:the|see|as|described|listed|shown|mentioned|given|explained|discussed|defined) "
    r"(?:above|below))\b"
    r"|\b(?:above|below)[.,):;]|https?:|\[\d|:$|\.\.\.|…",
    re.IGNORECASE,
)
_NOT_ALONE = re.compile(
    r"^(?:this|that|these|those|it|its|they|them|he|she|there|then|thus|so|such|also|but|and|or|however|"
    r"otherwise|therefore|hence|in this case|in that case|both|either|neither|another|other|here|instead|"
    r"moreover|furthermore|additionally|similarly|again|now|see|note|e\.g|i\.e|for example|for instance|"
    r"consider|suppose|let)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[a-z0-9][a-z0-9_.+-]*[a-z0-9]|[a-z0-9]")
_STOP = frozenset(
    (
        "a about after all also an and any are as at be been being but by can could do does each for from "
        "had has have how i if in into is it its may me might more most must my no not of on one only or "
        "other our please same shall should so some such than that the their them then there these they "
        "this those to use used uses using was we were what when where whether which while who why will "
        "with without would you your"
    ).split()
)


def sentences(text: str) -> list[str]:
    """Return the sentences of one paragraph, in order, white space at the sides gone."""
    parts, start = [], 0
    for found in _END.finditer(text):
        parts.append(text[start : found.end()].strip())
        start = found.end()
    return [part for part in [*parts, text[start:].strip()] if part]


def answers(text: str) -> bool:
    """Return whether a sentence can be an answer: whole, of fitting length, plain, pointing nowhere else."""
    return (
        SHORTEST <= len(text) <= LONGEST
        and text[-1] in ".!"
        and (text[0].isupper() or text[0] in "-`\"'_$%" or text.split()[0].isidentifier())
        and text.count("(") == text.count(")")
        and text.count('"') % 2 == 0
        and sum(letter.isalpha() or letter == " " for letter in text) > 0.8 * len(text)
        and not _POINTS.search(text)
    )


def stands_alone(text: str) -> bool:
    """Return whether a sentence is understood without the one before it."""
    return not _NOT_ALONE.match(text)


def content(text: str) -> list[str]:
    """Return the words that say something, in order, in lower case, plural's s gone."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def overlap(words: frozenset[str], others: frozenset[str]) -> float:
    """Return the share of `words` that are among `others`; 0 if there are none."""
    return len(words & others) / len(words) if words else 0.0
