"""A model's file (GGUF): what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ModelFile:
    """A GGUF file, open to be read. Nothing of a tensor is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = gguf.GGUFReader(path)
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the tensors, as they stand in the file."""
        return tuple(self._tensors)

    def size(self, name: str) -> tuple[int, ...]:
        """Return a tensor's size: (out, in) for a matrix."""
        return tuple(int(count) for count in reversed(self._tensors[name].shape))

    def kind(self, name: str) -> gguf.GGMLQuantizationType:
        """Return how a tensor is stored."""
        return self._tensors[name].tensor_type

    def raw(self, name: str) -> NDArray[Any]:
        """Return a tensor as it is stored."""
        return self._tensors[name].data

    def weight(self, name: str) -> NDArray[np.float32]:
        """Return a tensor dequantised: (out, in) for a matrix."""
        tensor = self._tensors[name]
        return np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)

    def field(self, name: str) -> Any:
        """Return a value of the metadata. KeyError if there is none."""
        return self._reader.fields[name].contents()

    def fields(self) -> Iterator[tuple[str, Any, gguf.GGUFValueType, gguf.GGUFValueType | None]]:
        """Yield the metadata in order: name, value, its type, and that of a list's members."""
        for name, field in self._reader.fields.items():
            if not name.startswith("GGUF."):
                inner = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
                yield name, field.contents(), field.types[0], inner
