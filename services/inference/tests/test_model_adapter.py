"""An adapter becomes part of the real model, once, and one that does not fit is said to."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from penstock.inference.adapters.model_files import (
    BASE_NAME,
    READER_NAME,
    default_adapter,
    default_text_model,
    text_model_files,
)
from penstock.inference.adapters.openvino_text import TextModel, TextModelSource
from penstock.inference.domain.generation import Sampling
from penstock.inference.settings import Settings
from penstock.lora.adapter import AdapterMetadata, save
from penstock.lora.errors import AdapterError
from penstock.lora.model_file import sha256_of

_PROMPT = "The capital of France is"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """Noise beside one matrix of the middle layer: enough to change what the model says."""
    return _adapter(tmp_path / "adapter.safetensors", sha256_of(default_text_model()))


def _adapter(path: Path, base: str) -> Path:
    random = np.random.default_rng(3)
    arrays = {
        "blk.14.ffn_down.weight.lora_a": random.normal(0, 1, (4, 1536)).astype(np.float16),
        "blk.14.ffn_down.weight.lora_b": random.normal(0, 1, (576, 4)).astype(np.float16),
    }
    save(path, arrays, AdapterMetadata(base, 4, 4.0, ("ffn_down",), 14, 3, 0, "none", "none"))
    return path


def _source(cache: Path, adapter: Path | None) -> TextModelSource:
    return TextModelSource(default_text_model(), adapter, cache, 1024, 4, 256, prefix_caching=False)


def _said(model: TextModel) -> list[int]:
    handle = model.pipeline.add(model.tokenizer.encode(_PROMPT), 8, Sampling())
    ids: list[int] = []
    while model.pipeline.busy():
        model.pipeline.step()
        if read := handle.read():
            ids.extend(read.ids)
    return ids


def test_the_model_says_something_else_with_an_adapter(tmp_path: Path, adapter: Path) -> None:
    cache = tmp_path / "cache"
    plain = _said(_source(cache, None).load())
    taught = _said(_source(cache, adapter).load())
    assert len(plain) == len(taught) == 8
    assert plain != taught
    assert len(list(cache.iterdir())) == 2
    assert not list(cache.rglob("*.gguf"))
    before = [path.stat().st_mtime_ns for path in sorted(cache.rglob("*"))]
    assert _said(_source(cache, adapter).load()) == taught
    assert [path.stat().st_mtime_ns for path in sorted(cache.rglob("*"))] == before


def test_an_adapter_of_another_model_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    other = _adapter(tmp_path / "other.safetensors", "0" * 64)
    with pytest.raises(AdapterError, match="trained on another file"):
        _source(tmp_path / "cache", other).load()
    assert not list((tmp_path / "cache").iterdir())


def test_settings_say_what_an_adapter_needs(tmp_path: Path, adapter: Path) -> None:
    with pytest.raises(ValidationError, match="PENSTOCK_MODEL_ADAPTER: no such file"):
        Settings(model_adapter=tmp_path / "absent")
    with pytest.raises(ValidationError, match="needs a GGUF file"):
        Settings(model=tmp_path, model_adapter=adapter)


def test_the_reader_serves_unless_something_else_is_asked_for(tmp_path: Path) -> None:
    base, own = default_text_model(), tmp_path / "own-7b.gguf"
    own.touch()
    named = {
        (None, None): (base, default_adapter(), READER_NAME),
        (None, "none"): (base, None, BASE_NAME),
        (None, tmp_path / "taught.safetensors"): (base, tmp_path / "taught.safetensors", "taught"),
        (own, None): (own, None, "own-7b"),
        (tmp_path, "none"): (tmp_path, None, tmp_path.name),
    }
    for (model, adapter), (file, taught, name) in named.items():
        found = text_model_files(model, adapter)  # type: ignore[arg-type]
        assert (found.model, found.adapter, found.name) == (file, taught, name)


_PASSAGES = """<passages>
[2] kiln.html > Care
The glaze is mixed with rain water. A kiln is swept once a week.

[1] kiln.html > Firing
kiln.ramp(rate)

Set how fast the kiln becomes hot. The default rate is 150 degrees an hour.

</passages>
Question: """


def _answer(model: TextModel, question: str) -> str:
    system = {"role": "system", "content": "Answer from the passages and name their number."}
    prompt = model.tokenizer.chat([system, {"role": "user", "content": _PASSAGES + question}])
    handle = model.pipeline.add(model.tokenizer.encode(prompt), 80, Sampling())
    ids: list[int] = []
    while model.pipeline.busy():
        model.pipeline.step()
        if read := handle.read():
            ids.extend(read.ids)
    return b"".join(model.tokenizer.pieces(ids)).decode().replace("<|im_end|>", "")


def test_the_reader_answers_cites_and_says_when_the_passages_do_not(tmp_path: Path) -> None:
    model = _source(tmp_path, default_adapter()).load()
    answer = _answer(model, "What does kiln.ramp do?")
    assert "how fast the kiln" in answer
    assert answer.rstrip().endswith("[1]")
    assert _answer(model, "Who won the World Cup of 1998?") == "The documents do not say."
