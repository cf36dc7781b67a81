from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from penstock.inference.domain.errors import InvalidRequestError, UnsupportedParameterError
from penstock.inference.domain.generation import Job, Limits
from penstock.inference.handler.parameters import LEFT_OUT, Parameters, jobs

LIMITS = Limits(max_input_tokens=20, max_total_tokens=32, max_concurrent_requests=4)


class Words:
    """A token a word: its length."""

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        return [b"x" * token for token in ids]

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        return " ".join(message["content"] for message in messages)


def made(given: Parameters, inputs: str = "a bb ccc", *, stream: bool = False) -> list[Job]:
    return jobs(inputs, given, LIMITS, Words(), stream=stream)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("adapter_id", "lora"),
        ("typical_p", 0.9),
        ("watermark", True),
        ("grammar", {"type": "regex", "value": "a+"}),
        ("top_n_tokens", 2),
        ("decoder_input_details", True),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UnsupportedParameterError, match=f"`{name}`"):
        made(replace(Parameters(), **{name: value}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Parameters(temperature=0.0), "`temperature`"),
        (Parameters(temperature=float("nan")), "`temperature`"),
        (Parameters(top_p=0.0), "`top_p`"),
        (Parameters(top_p=1.5), "`top_p`"),
        (Parameters(top_k=0), "`top_k`"),
        (Parameters(repetition_penalty=0.0), "`repetition_penalty`"),
        (Parameters(frequency_penalty=2.5), "`frequency_penalty`"),
        (Parameters(seed=-1), "`seed`"),
        (Parameters(seed=2**63), "`seed`"),
        (Parameters(temperature=1e-60), "`temperature` must be >= 1e-10 and <= 10000000000.0. Given: 1e-60"),
        (Parameters(temperature=1e300), "`temperature`"),
        (Parameters(top_p=1e-45), "`top_p` must be >= 1e-10 and <= 1.0"),
        (Parameters(top_k=2**31), "`top_k` must be >= 1 and <= 2147483647. Given: 2147483648"),
        (Parameters(repetition_penalty=1e-38), "`repetition_penalty` must be >= 1e-10"),
        (Parameters(repetition_penalty=float("inf")), "`repetition_penalty`"),
        (Parameters(presence_penalty=-2.1), "`presence_penalty` must be >= -2.0 and <= 2.0. Given: -2.1"),
        (Parameters(max_new_tokens=0), "`max_new_tokens` must be strictly positive"),
        (Parameters(stop=("a",) * 5), "`stop` supports up to 4"),
        (Parameters(stop=("",)), "`stop`"),
        (Parameters(truncate=0), "`truncate`"),
        (Parameters(truncate=21), "`truncate`"),
        (Parameters(best_of=0), "`best_of`"),
        (Parameters(best_of=3, do_sample=True), "`best_of`"),
        (Parameters(best_of=2), "you must use sampling"),
        (Parameters(best_of=2, do_sample=True, seed=1), "`seed` must not be set"),
    ],
)
def test_values_out_of_range_are_refused_by_name(given: Parameters, told: str) -> None:
    with pytest.raises(InvalidRequestError, match=told):
        made(given)


def test_the_total_length_is_checked_in_tgis_words() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        made(Parameters(max_new_tokens=30))
    assert str(caught.value) == (
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 32. "
        "Given: 3 `inputs` tokens and 30 `max_new_tokens`"
    )


def test_a_prompt_that_is_too_long_is_refused_and_truncation_keeps_its_end() -> None:
    with pytest.raises(InvalidRequestError, match=r"must have less than 20 tokens\. Given: 21"):
        made(Parameters(), "a " * 21)
    assert made(Parameters(truncate=2))[0].prompt == (2, 3)
    assert len(made(Parameters(truncate=20), "a " * 21)[0].prompt) == 20


def test_no_new_tokens_given_means_what_fits() -> None:
    assert made(Parameters())[0].max_new_tokens == 29


def test_parameters_left_out_means_sampling_and_empty_parameters_mean_greedy() -> None:
    assert made(LEFT_OUT)[0].sampling.seed is not None
    assert made(Parameters())[0].sampling.seed is None
    assert made(Parameters(temperature=0.5))[0].sampling.seed is not None


def test_only_a_given_seed_is_reproducible() -> None:
    assert made(Parameters(do_sample=True, seed=7))[0].sampling.reproducible
    assert not made(Parameters(do_sample=True))[0].sampling.reproducible


def test_best_of_draws_different_answers_and_does_not_stream() -> None:
    first, second = made(Parameters(best_of=2, do_sample=True))
    assert first.prompt == second.prompt
    assert first.sampling.seed != second.sampling.seed
    with pytest.raises(InvalidRequestError, match="not supported when streaming"):
        made(Parameters(best_of=2, do_sample=True), stream=True)
