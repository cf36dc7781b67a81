"""Profiles of models: found by name, a user's own first, and every mistake in their file told."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from penstock.clients.models import (
    UNKNOWN,
    ModelProfile,
    Models,
    ModelsFile,
    SamplingDefaults,
    parse_models,
)
from penstock.messages.chat import Sampling

OURS = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "models.toml"
    monkeypatch.setenv("PENSTOCK_MODELS_FILE", str(file))
    return file


def test_the_embedded_model_is_guarded_and_others_are_not() -> None:
    models = ModelsFile().models
    assert models.of(OURS).loop_guard
    assert models.of(OURS).sampling.max_tokens
    assert models.of("meta-llama/Llama-3.1-8B-Instruct") is UNKNOWN


def test_of_two_that_fit_the_first_counts() -> None:
    first, second = ModelProfile(names=("a/*", "b")), ModelProfile(names=("*",))
    models = Models([first, second])
    assert [models.of(name) for name in ("a/x", "b", "A/x")] == [first, first, second]


def test_a_users_own_file_comes_first(own: Path) -> None:
    own.write_text('[[models]]\nnames = ["HuggingFaceTB/*"]\n[models.sampling]\nmax_tokens = 9\n')
    profile = ModelsFile().models.of(OURS)
    assert (profile.loop_guard, profile.sampling.max_tokens) == (False, 9)


def test_what_a_request_says_itself_wins() -> None:
    defaults = SamplingDefaults(max_tokens=5, temperature=0.7, stop=("x",))
    completed = ModelProfile(sampling=defaults).completed(Sampling(temperature=0, stop=("y",)))
    assert completed == Sampling(max_tokens=5, temperature=0, stop=("y",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[models", "Expected"),
        ("models = 1", "array"),
        ('[[models]]\nname = "x"', "unknown field `name`"),
        ('[[models]]\nnames = ["x"]\n[models.sampling]\nmax_token = 3', "unknown field `max_token`"),
        ('[[models]]\nnames = ["x"]\n[models.prompt]\nbest = "middle"', "$.models[0].prompt.best"),
        ('[[models]]\nnames = ["x"]\n[models.prompt]\nbefore = "' + "x" * 161 + '"', "160 characters"),
        ('[[models]]\nnames = ["x"]\n[models.sampling]\nmax_tokens = 0', "$.models[0].sampling.max_tokens"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_place(own: Path, text: str, said: str) -> None:
    own.write_text(text)
    with pytest.raises(ValidationError) as told:
        ModelsFile()
    assert str(own) in str(told.value)
    assert said in str(told.value)


@pytest.mark.usefixtures("own")
def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(ValidationError, match="No such file"):
        ModelsFile()


def test_bytes_that_are_no_text_are_told() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        parse_models(b"\xff")
