"""What the engine needs of a model: a batch to step, and a tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.inference.domain.generation import FinishReason, Sampling
from penstock.inference.domain.text import Detokenizer, Vocabulary


class LostSequenceError(Exception):
    """The engine gave a sequence up, because it does not fit into the KV cache."""


@dataclass(frozen=True, slots=True)
class Read:
    """Tokens of one sequence since the last read; `reason` is set on the last ones."""

    ids: list[int]
    logprobs: list[float]
    reason: FinishReason | None


class Handle(Protocol):
    """One sequence inside the pipeline."""

    def read(self) -> Read | None:
        """Return what is new, or None. Raises LostSequenceError."""
        ...

    def cancel(self) -> None:
        """Leave the batch before the next step."""
        ...


class Pipeline(Protocol):
    """A batch that advances all its sequences together."""

    def add(self, prompt: Sequence[int], max_new_tokens: int, sampling: Sampling) -> Handle:
        """Put a sequence into the batch."""
        ...

    def step(self) -> None:
        """Advance every sequence."""
        ...

    def busy(self) -> bool:
        """Return whether there is a sequence to advance."""
        ...


class EngineTokenizer(Protocol):
    """What the engine needs to turn ids into text."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The bytes behind every token id."""
        ...

    def detokenizer(self) -> Detokenizer:
        """Return a detokenizer for one sequence."""
        ...


class EngineModel(Protocol):
    """A loaded model."""

    @property
    def pipeline(self) -> Pipeline:
        """The batch."""
        ...

    @property
    def tokenizer(self) -> EngineTokenizer:
        """Its tokenizer."""
        ...
