"""What the log already holds of an answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.messages.chat import GenerationStarted, Sampling, TextGenerated
from penstock.messages.event import Event
from penstock.messages.reading import Splice


@dataclass(frozen=True, slots=True)
class Earlier:
    """The answer as its readers have seen it: whether it has begun, its text, and that text's tokens."""

    started: bool
    text: str
    tokens: int


def recall(events: Sequence[Event]) -> Earlier:
    """Join what the log holds of one request. Raises `penstock.messages.reading.Gap`."""
    splice, texts, tokens = Splice(), list[str](), 0
    for event in events:
        if isinstance(event, TextGenerated) and (fresh := splice.add(event.start, event.text)):
            texts.append(fresh)
            tokens = event.tokens
    return Earlier(any(isinstance(event, GenerationStarted) for event in events), "".join(texts), tokens)


def can_continue(sampling: Sampling) -> bool:
    """Greedy text and unseeded sampling can go on from any prefix; a seed promises one certain text."""
    return sampling.seed is None or not sampling.temperature
