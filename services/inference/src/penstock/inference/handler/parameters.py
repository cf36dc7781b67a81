"""From the parameters of TGI's dialect to a job for the engine, or a refusal that says what to do."""

import secrets
from dataclasses import dataclass, replace

from penstock.inference.domain.errors import InvalidRequestError, UnsupportedParameterError
from penstock.inference.domain.generation import Job, Limits, Sampling
from penstock.inference.ports import TextTokenizer

DEFAULT_NEW_TOKENS = 1024
"""TGI's default for `max_new_tokens`, cut down to what still fits."""
_BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (1e-10, 1e10),
    "repetition_penalty": (1e-10, 1e10),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "top_p": (1e-10, 1.0),
    "top_k": (1, 2**31 - 1),
    "seed": (0, 2**63 - 1),
}
"""What OpenVINO GenAI samples rightly with, least and most.

It keeps the first five as 32-bit floats and refuses what is 0 there; but a logit that is divided by
temperature and penalty overflows before that (seen from 1e-38 on), and then the text is noise.
"""


@dataclass(frozen=True, slots=True)
class Parameters:
    """`GenerateParameters` of TGI's OpenAPI 3.3, and OpenAI's `presence_penalty`; None means not given."""

    adapter_id: str | None = None
    best_of: int | None = None
    decoder_input_details: bool | None = None
    details: bool | None = None
    do_sample: bool | None = None
    frequency_penalty: float | None = None
    grammar: object = None
    max_new_tokens: int | None = None
    repetition_penalty: float | None = None
    return_full_text: bool | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_n_tokens: int | None = None
    top_p: float | None = None
    truncate: int | None = None
    typical_p: float | None = None
    watermark: bool | None = None
    presence_penalty: float | None = None


LEFT_OUT = Parameters(do_sample=True)
"""What TGI assumes when a request has no `parameters` at all."""


def jobs(
    inputs: str, given: Parameters, limits: Limits, tokenizer: TextTokenizer, *, stream: bool
) -> list[Job]:
    """Return the jobs for one request: as many as `best_of`. Raises InvalidRequestError."""
    refuse_unsupported(given)
    count = _best_of(given, limits, stream=stream)
    sampling = _sampling(given)
    stop = tuple(given.stop or ())
    if len(stop) > limits.max_stop_sequences:
        raise InvalidRequestError(
            f"`stop` supports up to {limits.max_stop_sequences} stop sequences. Given: {len(stop)}"
        )
    if not all(stop):
        raise InvalidRequestError("`stop` must not contain an empty string")
    prompt = _prompt(inputs, given.truncate, limits, tokenizer)
    job = Job(prompt, _new_tokens(given.max_new_tokens, len(prompt), limits), sampling, stop)
    if count == 1:
        return [job]
    return [replace(job, sampling=replace(sampling, seed=_any_seed())) for _ in range(count)]


def refuse_unsupported(given: Parameters) -> None:
    """Raise UnsupportedParameterError for what OpenVINO's continuous batching cannot do."""
    if given.adapter_id is not None:
        raise UnsupportedParameterError("adapter_id", "no LoRA adapters are loaded; leave it out")
    if given.typical_p is not None:
        raise UnsupportedParameterError("typical_p", "use `top_p` or `top_k`")
    if given.watermark:
        raise UnsupportedParameterError("watermark", "leave it out or send false")
    if given.grammar is not None:
        raise UnsupportedParameterError(
            "grammar",
            "a grammar that cannot be compiled would break the whole batch; describe it in the prompt",
        )
    if given.top_n_tokens:
        raise UnsupportedParameterError("top_n_tokens", "only the chosen token has a logprob; leave it out")
    if given.decoder_input_details:
        raise UnsupportedParameterError(
            "decoder_input_details", "prompts come out of the prefix cache without logprobs; send false"
        )


def _best_of(given: Parameters, limits: Limits, *, stream: bool) -> int:
    count = 1 if given.best_of is None else given.best_of
    if not 1 <= count <= limits.max_best_of:
        raise InvalidRequestError(f"`best_of` must be > 0 and <= {limits.max_best_of}. Given: {count}")
    if count == 1:
        return 1
    if stream:
        raise InvalidRequestError("`best_of` != 1 is not supported when streaming tokens")
    if given.seed is not None:
        raise InvalidRequestError("`seed` must not be set when `best_of` > 1")
    if not _samples(given):
        raise InvalidRequestError("you must use sampling when `best_of` is > 1")
    return count


def _samples(given: Parameters) -> bool:
    """Return whether tokens are drawn: TGI draws too where a parameter only makes sense so."""
    return (
        bool(given.do_sample)
        or given.temperature not in (None, 1.0)
        or given.top_k is not None
        or given.top_p not in (None, 1.0)
    )


def _sampling(given: Parameters) -> Sampling:
    _check_ranges(given)
    penalties = Sampling(
        repetition_penalty=_or(given.repetition_penalty, 1.0),
        frequency_penalty=_or(given.frequency_penalty, 0.0),
        presence_penalty=_or(given.presence_penalty, 0.0),
    )
    if not _samples(given):
        return penalties
    return replace(
        penalties,
        seed=_any_seed() if given.seed is None else given.seed,
        reproducible=given.seed is not None,
        temperature=_or(given.temperature, 1.0),
        top_k=given.top_k,
        top_p=_or(given.top_p, 1.0),
    )


def _check_ranges(given: Parameters) -> None:
    for name, (least, most) in _BOUNDS.items():
        value = getattr(given, name)
        # Written so that NaN is refused, too.
        if value is not None and not least <= value <= most:
            raise InvalidRequestError(f"`{name}` must be >= {least} and <= {most}. Given: {value}")


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _any_seed() -> int:
    return secrets.randbelow(2**32)


def _prompt(inputs: str, truncate: int | None, limits: Limits, tokenizer: TextTokenizer) -> tuple[int, ...]:
    if not inputs:
        raise InvalidRequestError("`inputs` cannot be empty")
    if truncate is not None and not 0 < truncate <= limits.max_input_tokens:
        raise InvalidRequestError(
            f"`truncate` must be strictly positive and less than {limits.max_input_tokens}. Given: {truncate}"
        )
    ids = tokenizer.encode(inputs)
    if truncate is not None:
        ids = ids[-truncate:]
    if not ids:
        raise InvalidRequestError("`inputs` has no tokens")
    if len(ids) > limits.max_input_tokens:
        raise InvalidRequestError(
            f"`inputs` must have less than {limits.max_input_tokens} tokens. Given: {len(ids)}"
        )
    return tuple(ids)


def _new_tokens(asked: int | None, input_length: int, limits: Limits) -> int:
    left = limits.max_total_tokens - input_length
    if asked is None:
        return min(DEFAULT_NEW_TOKENS, left)
    if asked <= 0:
        raise InvalidRequestError(f"`max_new_tokens` must be strictly positive. Given: {asked}")
    if asked > left:
        raise InvalidRequestError(
            f"`inputs` tokens + `max_new_tokens` must be <= {limits.max_total_tokens}. "
            f"Given: {input_length} `inputs` tokens and {asked} `max_new_tokens`"
        )
    return asked
