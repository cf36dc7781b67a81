"""Near-duplicates: passages that tell a reader, or a model, the same thing twice."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from penstock.retrieval.domain.passages import Found
from penstock.retrieval.domain.relevance import words

_SHINGLE = 3
_ALIKE = 0.8


def without_duplicates(found: Iterable[Found]) -> Iterator[Found]:
    """Yield what is not nearly the same as something before it: of each kind the first.

    Two texts are nearly the same if their words are, or if they share most of their runs of three words
    (Jaccard index of w-shingles; Broder, «On the resemblance and containment of documents», 1997).
    """
    seen: list[frozenset[tuple[str, ...]]] = []
    for each in found:
        shingles = _shingles(each.passage.text)
        if not any(_are_alike(shingles, other) for other in seen):
            seen.append(shingles)
            yield each


@lru_cache(maxsize=256)  # the same passages are found again and again: some 4 MiB of them
def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    of_text = words(text) or [text.strip()]  # a text of signs only is its own word
    if len(of_text) < _SHINGLE:
        return frozenset([tuple(of_text)])
    return frozenset(zip(of_text, of_text[1:], of_text[2:], strict=False))


def _are_alike(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> bool:
    shared = len(one & other)
    return shared >= _ALIKE * (len(one) + len(other) - shared)
