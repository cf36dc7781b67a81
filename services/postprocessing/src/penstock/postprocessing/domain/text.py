"""Words and sentences, as far as attribution needs them."""

import re
from collections.abc import Iterator
from functools import lru_cache

_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_COMMON_WORDS = """
a about after all also an and are as at be because been before but by can could did do does each for
from had has have he her his how if in into is it its just like may more most much must no not of on
one only or other our out over question same she should so some such than that the their them then
there these they this those through to up use used uses using was we were what when where which
while who why will with would you your answer passage passages
"""
_COMMON = frozenset(_COMMON_WORDS.split())


@lru_cache(maxsize=1024)  # the same passages are found again and again: some 4 MiB of them
def content_words(text: str) -> frozenset[str]:
    """Return the distinct words that carry meaning, in lower case and without a plural s."""
    words = (match.group().lower() for match in _WORD.finditer(text))
    return frozenset(_stem(word) for word in words if len(word) > 2 and word not in _COMMON)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield the borders of each sentence or line in `text`, without white space around it."""
    for match in _SENTENCE.finditer(text):
        start, end = match.span()
        stripped = text[start:end].strip()
        if stripped:
            start += text[start:end].index(stripped[0])
            yield start, start + len(stripped)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
