"""An adapter and its base become one GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from penstock.lora.adapter import load
from penstock.lora.errors import AdapterError
from penstock.lora.model_file import ModelFile, sha256_of

KINDS = {"F16": gguf.GGMLQuantizationType.F16, "Q8_0": gguf.GGMLQuantizationType.Q8_0}
"""How touched matrices may be stored. Fewer bits would round what was learned away."""
_FILE_TYPES = {"F16": gguf.LlamaFileType.MOSTLY_F16, "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
_WRITTEN_ANEW = ("general.file_type", "general.architecture")
_BLOCK = 32  # values that share a scale in Q8_0


def merge(base: Path, adapter: Path, target: Path, kind: str) -> None:
    """Write `target`: the base with the adapter's matrices added, all else as it is in the base, byte for
    byte.

    `kind` is one of KINDS. The same files give the same bytes. The target appears when it is whole. Raises
    AdapterError if the adapter does not belong to this base, OSError if a file cannot be read or written.
    """
    source, added = _opened(base, adapter)
    partial = target.with_suffix(".partial")
    writer = gguf.GGUFWriter(partial, source.field("general.architecture"))
    _describe(writer, source, kind)
    for name in source.names:
        if name in added:
            data = gguf.quants.quantize(source.weight(name) + added[name](), KINDS[kind])
            writer.add_tensor(name, data, raw_dtype=KINDS[kind])
        else:
            writer.add_tensor(name, source.raw(name), raw_dtype=source.kind(name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(target)


def check(base: Path, adapter: Path, merged: Path) -> float:
    """Return the largest error of a merged value, as a share of the largest it may have by rounding alone.

    Raises AdapterError if that is more than 1, if another tensor or anything of the tokenizer differs from
    the base, or if one is missing.
    """
    source, added = _opened(base, adapter)
    result = ModelFile(merged)
    if source.names != result.names:
        raise AdapterError(f"{merged} has other tensors than {base}")
    worst = 0.0
    for name in source.names:
        if name in added:
            wanted = source.weight(name) + added[name]()
            allowed = _rounding(wanted, result.kind(name))
            worst = max(worst, float((np.abs(result.weight(name) - wanted) / allowed).max()))
        elif source.kind(name) != result.kind(name) or not np.array_equal(source.raw(name), result.raw(name)):
            raise AdapterError(f"{name} is not as in {base}")
    if worst > 1:
        raise AdapterError(f"a merged value is {worst:.2f} times further off than rounding explains")
    kept = {name: value for name, value, *_ in source.fields() if name not in _WRITTEN_ANEW}
    if kept != {name: value for name, value, *_ in result.fields() if name not in _WRITTEN_ANEW}:
        raise AdapterError(f"the metadata of {merged} is not as in {base}")
    return worst


class _Product:
    """What an adapter adds to one matrix, computed when it is asked for: (out, in)."""

    def __init__(self, a: NDArray[np.float16], b: NDArray[np.float16], scale: float) -> None:
        self._a, self._b, self._scale = a, b, np.float32(scale)
        self.size = (len(b), a.shape[1]) if a.ndim == b.ndim == 2 and b.shape[1] == len(a) else None

    def __call__(self) -> NDArray[np.float32]:
        product: NDArray[np.float32] = self._b.astype(np.float32) @ self._a.astype(np.float32)
        return self._scale * product


def _opened(base: Path, adapter: Path) -> tuple[ModelFile, dict[str, _Product]]:
    """Return the base and what is to be added to its tensors, by name."""
    arrays, about = load(adapter)
    if sha256_of(base) != about.base:
        raise AdapterError(f"{adapter} was trained on another file than {base}")
    source = ModelFile(base)
    added = {}
    for name in sorted({key.rpartition(".")[0] for key in arrays}):
        a, b = arrays.get(f"{name}.lora_a"), arrays.get(f"{name}.lora_b")
        product = None if a is None or b is None else _Product(a, b, about.scale)
        if product is None or name not in source.names or product.size != source.size(name):
            raise AdapterError(f"{adapter} does not fit {base}: {name}")
        added[name] = product
    return source, added


def _describe(writer: gguf.GGUFWriter, source: ModelFile, kind: str) -> None:
    """Copy the metadata as it is, but for the kind of the file."""
    for name, value, outer, inner in source.fields():
        if name not in _WRITTEN_ANEW:
            writer.add_key_value(name, value, outer, sub_type=inner)
    writer.add_file_type(_FILE_TYPES[kind])


def _rounding(wanted: NDArray[np.float32], kind: Any) -> NDArray[np.float32]:
    """The largest error of each value by rounding: to 16 bits, or to 8 bits with a scale for 32 values."""
    if kind is gguf.GGMLQuantizationType.F16:
        return np.maximum(np.abs(wanted) * 2.0**-11, 2.0**-24).astype(np.float32) * np.float32(1.001)
    blocks = np.abs(wanted).reshape(-1, _BLOCK).max(axis=1, keepdims=True)
    allowed = np.maximum(blocks * (0.5 / 127 + 2.0**-10), 1e-6)
    return np.broadcast_to(allowed, (len(allowed), _BLOCK)).reshape(wanted.shape).astype(np.float32)
