"""What is asked of the engine, and what it answers."""

from dataclasses import dataclass
from enum import StrEnum

from penstock.inference.domain.errors import InferenceError


class FinishReason(StrEnum):
    """Why an answer ended (TGI's names)."""

    LENGTH = "length"
    EOS_TOKEN = "eos_token"  # noqa: S105 - a name of the dialect, not a password
    STOP_SEQUENCE = "stop_sequence"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for; counted in tokens unless the name says otherwise."""

    max_input_tokens: int
    max_total_tokens: int
    max_concurrent_requests: int
    max_stop_sequences: int = 4
    max_best_of: int = 2


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. `seed` is None exactly when the choice is greedy."""

    seed: int | None = None
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    reproducible: bool = False
    """The client gave the seed, so the same request must give the same text."""


@dataclass(frozen=True, slots=True)
class Job:
    """One sequence for the engine to generate."""

    prompt: tuple[int, ...]
    max_new_tokens: int
    sampling: Sampling
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token. `text` is empty while a character is not complete yet."""

    id: int
    text: str
    logprob: float
    special: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """How a sequence ended. `text` is the whole answer without special tokens; times are in seconds.

    `prefill_s` is the part of `inference_s` up to the first token.
    """

    reason: FinishReason
    text: str
    generated_tokens: int
    input_length: int
    seed: int | None
    queued_s: float
    inference_s: float
    prefill_s: float


@dataclass(frozen=True, slots=True)
class Delta:
    """What one step of the engine brought for one sequence; the last one carries `finish` or `error`."""

    tokens: tuple[Token, ...]
    finish: Finish | None = None
    error: InferenceError | None = None
