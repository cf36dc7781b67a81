"""Whether an answer's sentences are borne out by the passages, as far as shared words can tell."""

from collections.abc import Sequence

from penstock.messages.chat import Passage
from penstock.postprocessing.domain.text import content_words, sentences

MIN_SHARE = 0.5
"""Of a sentence's meaningful words: what share one passage must hold to support it."""


def is_supported(answer: str, passages: Sequence[Passage]) -> bool:
    """Return whether some passage supports at least half of the answer's sentences.

    Sentences without meaningful words, a citation alone for instance, do not count; an answer that has no
    other is not supported.
    """
    held = [content_words(f"{passage.title} {passage.text}") for passage in passages]
    said = [words for start, end in sentences(answer) if (words := content_words(answer[start:end]))]
    supported = sum(any(len(words & passage) >= MIN_SHARE * len(words) for passage in held) for words in said)
    return supported > 0 and 2 * supported >= len(said)
