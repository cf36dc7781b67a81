"""What of the passages found goes into a prompt, within its budget of tokens."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from penstock.messages.chat import Passage
from penstock.retrieval.domain.duplicates import without_duplicates
from penstock.retrieval.domain.passages import Found, best_first

PASSAGE_OVERHEAD_TOKENS = 16
"""Tokens that the heading line of a passage costs in the prompt; generation writes none longer."""

MAX_PASSAGES = 5
"""How many passages go into a prompt if the request does not say."""


def fits_any(budget: int) -> bool:
    """Return whether a budget of tokens has room for even the shortest passage."""
    return budget > PASSAGE_OVERHEAD_TOKENS


def pack(found: Sequence[Found], budget: int, most: int = MAX_PASSAGES) -> tuple[Passage, ...]:
    """Return the best passages that fit `budget` tokens together, at most `most`.

    Documents come in the order of their best passage, the passages of one document in its own order, and
    those that touch there as one. The same search always gives the same prompt.
    """
    chosen = _fill(without_duplicates(sorted(found, key=best_first)), budget, most)
    documents: dict[tuple[str, str], list[Passage]] = {}
    for each in chosen:
        documents.setdefault((each.store_id, each.passage.document_id), []).append(each.passage)
    return tuple(passage for passages in documents.values() for passage in _joined(passages))


def _fill(found: Iterable[Found], budget: int, most: int) -> list[Found]:
    """Greedy: a passage that does not fit leaves its room to the next one that does."""
    chosen: list[Found] = []
    for each in found:
        cost = each.passage.tokens + PASSAGE_OVERHEAD_TOKENS
        if cost <= budget:
            chosen.append(each)
            budget -= cost
        if len(chosen) >= most or not fits_any(budget):
            break
    return chosen


def _joined(passages: Sequence[Passage]) -> list[Passage]:
    """Return passages of one document in its order, with neighbours made one."""
    joined: list[Passage] = []
    for passage in sorted(passages, key=lambda p: (p.start, p.end, p.text)):
        last = joined[-1] if joined else None
        if last is not None and _touch(last, passage):
            joined[-1] = _join(last, passage)
        else:
            joined.append(passage)
    return joined


def _touch(one: Passage, later: Passage) -> bool:
    """Return whether the later passage begins within the other or at its end, and says the same there.

    A chunk whose text is not just what stands in the document (the head of a table repeated, say) is
    left as it is: joined, it would no longer be what a citation's characters show.
    """
    if later.start > one.end or any(p.end - p.start != len(p.text) for p in (one, later)):
        return False
    shared = min(one.end, later.end) - later.start
    return one.text[later.start - one.start :][:shared] == later.text[:shared]


def _join(one: Passage, later: Passage) -> Passage:
    """Return both as one that begins where the first does, under its headings and on its page."""
    shared = min(one.end, later.end) - later.start
    return replace(
        one,
        end=max(one.end, later.end),
        text=one.text + later.text[shared:],
        tokens=one.tokens + later.tokens - shared * later.tokens // max(1, len(later.text)),
    )
