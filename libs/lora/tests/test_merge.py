"""Merging: base plus scaled product, the rest as it was, the same bytes each time."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from penstock.lora.adapter import AdapterMetadata, load, save
from penstock.lora.errors import AdapterError
from penstock.lora.merge import check, merge
from penstock.lora.model_file import ModelFile, sha256_of

OUT, IN, RANK, ALPHA = 96, 64, 2, 4.0
TOUCHED, KEPT = "blk.0.ffn_up.weight", "blk.1.ffn_up.weight"
Saved: TypeAlias = Callable[..., Path]


@pytest.fixture
def base(tmp_path: Path) -> ModelFile:
    """Two matrices and a little metadata; no engine would load it."""
    path = tmp_path / "base.gguf"
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_1)
    writer.add_token_list(["a", "b"])
    for name in (TOUCHED, KEPT):
        kind = gguf.GGMLQuantizationType.Q4_1
        data = random.normal(0, 0.15, (OUT, IN)).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return ModelFile(path)


@pytest.fixture
def saved(tmp_path: Path, base: ModelFile) -> Saved:
    """Write an adapter, other than a good one where the test says so."""

    def save_it(arrays: Mapping[str, NDArray[np.float16]] | None = None, fits: str | None = None) -> Path:
        path = tmp_path / "adapter.safetensors"
        about = AdapterMetadata(
            fits or sha256_of(base.path), RANK, ALPHA, ("ffn_up",), 0, 1, 9, "data", "reader-1"
        )
        save(path, dict(arrays or _arrays()), about)
        return path

    return save_it


def _arrays(name: str = TOUCHED, wide: int = IN, out: int = OUT) -> dict[str, NDArray[np.float16]]:
    random = np.random.default_rng(2)
    return {
        f"{name}.lora_a": random.normal(0, 0.2, (RANK, wide)).astype(np.float16),
        f"{name}.lora_b": random.normal(0, 0.2, (out, RANK)).astype(np.float16),
    }


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_touched_matrices_are_base_plus_product_and_the_rest_is_kept(
    tmp_path: Path, base: ModelFile, saved: Saved, kind: str
) -> None:
    adapter = saved()
    merge(base.path, adapter, tmp_path / "m.gguf", kind)
    merged = ModelFile(tmp_path / "m.gguf")
    arrays, about = load(adapter)
    product = arrays[f"{TOUCHED}.lora_b"].astype(np.float32) @ arrays[f"{TOUCHED}.lora_a"].astype(np.float32)
    wanted = base.weight(TOUCHED) + about.scale * product
    np.testing.assert_allclose(merged.weight(TOUCHED), wanted, atol=0.02)
    assert merged.kind(TOUCHED).name == kind
    assert merged.kind(KEPT).name == "Q4_1"
    assert np.array_equal(merged.raw(KEPT), base.raw(KEPT))
    assert merged.field("tokenizer.ggml.tokens") == base.field("tokenizer.ggml.tokens")
    assert 0 < check(base.path, adapter, tmp_path / "m.gguf") <= 1


def test_the_same_files_give_the_same_bytes(tmp_path: Path, base: ModelFile, saved: Saved) -> None:
    for name in ("one.gguf", "two.gguf"):
        merge(base.path, saved(), tmp_path / name, "Q8_0")
    assert sha256_of(tmp_path / "one.gguf") == sha256_of(tmp_path / "two.gguf")
    assert not list(tmp_path.glob("*.partial"))


def test_an_adapter_of_another_base_is_refused(tmp_path: Path, base: ModelFile, saved: Saved) -> None:
    with pytest.raises(AdapterError, match="another file"):
        merge(base.path, saved(fits="0" * 64), tmp_path / "m.gguf", "F16")


@pytest.mark.parametrize(
    "arrays",
    [
        _arrays("blk.7.ffn_up.weight"),
        _arrays(wide=IN + 1),
        _arrays(out=OUT - 1),
        {f"{TOUCHED}.lora_a": _arrays()[f"{TOUCHED}.lora_a"]},
        {TOUCHED: np.ones(3, np.float16)},
    ],
    ids=["no such matrix", "too wide", "too short", "half of it", "no factor at all"],
)
def test_arrays_that_do_not_fit_are_named(
    tmp_path: Path, base: ModelFile, saved: Saved, arrays: dict[str, NDArray[np.float16]]
) -> None:
    with pytest.raises(AdapterError, match=r"does not fit .*blk\."):
        merge(base.path, saved(arrays), tmp_path / "m.gguf", "F16")
    assert not (tmp_path / "m.gguf").exists()


def test_a_file_that_is_no_merge_is_found_out(base: ModelFile, saved: Saved) -> None:
    with pytest.raises(AdapterError):
        check(base.path, saved(), base.path)


def test_an_adapter_says_what_it_is(base: ModelFile, saved: Saved) -> None:
    _, about = load(saved())
    assert about == AdapterMetadata(
        sha256_of(base.path), RANK, ALPHA, ("ffn_up",), 0, 1, 9, "data", "reader-1"
    )


@pytest.mark.parametrize("content", [b"", b"GGUF" * 100, b"\xff" * 16, b"\x02\0\0\0\0\0\0\0{}"])
def test_another_file_is_no_adapter(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(AdapterError, match=r"other\.safetensors is no adapter"):
        load(path)


def test_a_damaged_adapter_is_no_adapter(saved: Saved) -> None:
    path = saved()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(AdapterError, match="no adapter"):
        load(path)
