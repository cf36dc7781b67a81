"""Merging: base plus scaled product, the rest as it was, the same bytes each time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from penstock.trainer import adapter
from penstock.trainer.merge import Unfit, check, merge
from penstock.trainer.model import lora
from penstock.trainer.model.gguf import ModelFile, sha256_of

CHOICE = lora.Choice(rank=2, alpha=4, matrices=("attn_q", "ffn_down"), first=1)


@pytest.fixture
def taught(tmp_path: Path, tiny: ModelFile) -> Path:
    return _saved(tmp_path / "a.safetensors", tiny, sha256_of(tiny.path))


def _saved(path: Path, tiny: ModelFile, base: str) -> Path:
    arrays = lora.to_arrays(lora.start(CHOICE, tiny.shape(), seed=1), CHOICE)
    random = np.random.default_rng(2)
    arrays = {name: random.normal(0, 0.2, array.shape).astype(np.float16) for name, array in arrays.items()}
    about = adapter.About(
        base, CHOICE.rank, CHOICE.alpha, CHOICE.matrices, CHOICE.first, 1, 9, "data", "reader-1"
    )
    adapter.save(path, arrays, about)
    return path


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_touched_matrices_are_base_plus_product_and_the_rest_is_kept(
    tmp_path: Path, tiny: ModelFile, taught: Path, kind: str
) -> None:
    merge(tiny.path, taught, tmp_path / "m.gguf", kind)
    merged = ModelFile(tmp_path / "m.gguf")
    arrays, about = adapter.load(taught)
    name = "blk.1.ffn_down.weight"
    product = arrays[f"{name}.lora_b"].astype(np.float32) @ arrays[f"{name}.lora_a"].astype(np.float32)
    np.testing.assert_allclose(merged.weight(name), tiny.weight(name) + about.scale * product, atol=0.02)
    assert merged.kind(name).name == kind
    assert np.array_equal(merged.raw("blk.0.ffn_down.weight"), tiny.raw("blk.0.ffn_down.weight"))
    assert 0 < check(tiny.path, taught, tmp_path / "m.gguf") <= 1


def test_the_same_files_give_the_same_bytes(tmp_path: Path, tiny: ModelFile, taught: Path) -> None:
    for name in ("one.gguf", "two.gguf"):
        merge(tiny.path, taught, tmp_path / name, "Q8_0")
    assert sha256_of(tmp_path / "one.gguf") == sha256_of(tmp_path / "two.gguf")
    assert not list(tmp_path.glob("*.partial"))


def test_an_adapter_of_another_base_is_refused(tmp_path: Path, tiny: ModelFile) -> None:
    other = _saved(tmp_path / "o.safetensors", tiny, "0" * 64)
    with pytest.raises(Unfit, match="another file"):
        merge(tiny.path, other, tmp_path / "m.gguf", "F16")


def test_a_file_that_is_no_merge_is_found_out(tiny: ModelFile, taught: Path) -> None:
    with pytest.raises(Unfit):
        check(tiny.path, taught, tiny.path)


def test_metadata_and_tokenizer_are_kept(tmp_path: Path, tiny: ModelFile, taught: Path) -> None:
    merge(tiny.path, taught, tmp_path / "m.gguf", "F16")
    merged = ModelFile(tmp_path / "m.gguf")
    assert merged.field("tokenizer.ggml.tokens") == tiny.field("tokenizer.ggml.tokens")
    assert merged.shape() == tiny.shape()


def test_merging_needs_no_jax() -> None:
    absent = ("jax", "optax", "bs4", "tokenizers", "openvino_genai")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "import penstock.trainer.main, penstock.trainer.merge"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603  # as above


def test_an_adapter_says_what_it_is(tiny: ModelFile, taught: Path) -> None:
    _, about = adapter.load(taught)
    assert about.base == sha256_of(tiny.path)
    assert (about.rank, about.alpha, about.matrices, about.first_layer) == (2, 4.0, CHOICE.matrices, 1)
    with pytest.raises(Exception, match=r".+"):
        adapter.load(tiny.path)
