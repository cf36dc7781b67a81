"""OpenVINO GenAI behind narrow types: the tokenizer and the continuous batching pipeline."""

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import openvino  # type: ignore[import-untyped]  # the wheel has stubs but no py.typed
import openvino_genai as genai  # type: ignore[import-untyped]  # the same

from penstock.inference.adapters.pipeline import LostSequenceError, Pipeline, Read
from penstock.inference.domain.errors import InvalidRequestError
from penstock.inference.domain.generation import FinishReason, Sampling
from penstock.inference.domain.text import ByteDetokenizer, Detokenizer, Vocabulary, WindowDetokenizer

KV_BLOCK_TOKENS = 32
"""Tokens in one block of OpenVINO's KV cache on the CPU."""

_PROBE = "Gate 1+1=2\n\n  \ttabs, naïve café, 水門 😀"


class _Encoder:
    """The model's `openvino_tokenizer.xml`, run by OpenVINO itself. May be called from several threads.

    GenAI's own `Tokenizer.encode` holds the interpreter's lock meanwhile: 2 s for a megabyte of spaces.
    """

    def __init__(self, directory: Path) -> None:
        core = openvino.Core()
        core.add_extension(str(_tokenizers_extension()))
        # No stream of its own: the calling thread does the work, which is quickest for short texts.
        alone = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 0}
        self._compiled = core.compile_model(str(directory / "openvino_tokenizer.xml"), "CPU", alone)
        self._local = threading.local()

    def __call__(self, text: str) -> list[int]:
        """Return the ids of a text."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        request.infer([np.array([text])], share_outputs=True)
        ids: list[int] = request.get_tensor("input_ids").data[0].tolist()
        return ids


def _tokenizers_extension() -> Path:
    """Return the library inside the package openvino-tokenizers, whose import would take a second."""
    spec = find_spec("openvino_tokenizers")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package openvino-tokenizers is not installed")
    return next(Path(spec.submodule_search_locations[0]).glob("lib/*openvino_tokenizers*"))


class OpenVinoTokenizer:
    """The tokenizer inside the model file, whose OpenVINO form is in `directory`."""

    def __init__(self, tokenizer: Any, directory: Path) -> None:
        self._tokenizer = tokenizer
        self._encode = _Encoder(directory)
        self.vocabulary = _vocabulary(tokenizer)
        probe = self.encode(_PROBE)
        self._byte_level = b"".join(self.pieces(probe)).decode(errors="ignore") == self._decode(probe)

    def encode(self, text: str) -> list[int]:
        """Return the ids that the engine would see for this prompt."""
        if text.endswith("\0"):  # numpy, through which OpenVINO takes texts, cuts these off
            ids: list[int] = self._tokenizer.encode(text).input_ids.data[0].tolist()
            return ids
        return self._encode(text) if text else []

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        """Return the bytes behind each id."""
        return [self.vocabulary.piece(token) for token in ids]

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the messages as one prompt, by the model's own chat template, ready for an answer.

        Raises InvalidRequestError where the model has no template, or the template refuses the messages.
        """
        try:
            prompt: str = self._tokenizer.apply_chat_template(list(messages), add_generation_prompt=True)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InvalidRequestError(f"the chat template refuses the messages: {reason}") from None
        return prompt

    def detokenizer(self) -> Detokenizer:
        """Return a detokenizer for one sequence; the table of bytes where the vocabulary allows it."""
        if self._byte_level:
            return ByteDetokenizer(self.vocabulary)
        return WindowDetokenizer(self._decode)

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text


class OpenVinoPipeline:
    """`ContinuousBatchingPipeline` on the CPU."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        config = pipeline.get_config()
        self._ends: dict[str, Any] = {
            "eos_token_id": config.eos_token_id,
            "stop_token_ids": config.stop_token_ids,
            "apply_chat_template": False,
            "logprobs": 1,
        }
        self._next_id = 0

    def add(self, prompt: Sequence[int], max_new_tokens: int, sampling: Sampling) -> "OpenVinoHandle":
        """Put a sequence into the batch."""
        config = genai.GenerationConfig(
            max_new_tokens=max_new_tokens,
            repetition_penalty=sampling.repetition_penalty,
            frequency_penalty=sampling.frequency_penalty,
            presence_penalty=sampling.presence_penalty,
            **self._ends,
        )
        if sampling.seed is not None:
            config.do_sample = True
            config.rng_seed = sampling.seed
            config.temperature = sampling.temperature
            config.top_p = sampling.top_p
            if sampling.top_k is not None:
                config.top_k = sampling.top_k
        self._next_id += 1
        ids = openvino.Tensor(np.array([prompt], dtype=np.int64))
        return OpenVinoHandle(self._pipeline.add_request(self._next_id, ids, config))

    def step(self) -> None:
        """Advance every sequence; other Python threads run meanwhile."""
        self._pipeline.step()

    def busy(self) -> bool:
        """Return whether there is a sequence to advance."""
        busy: bool = self._pipeline.has_non_finished_requests()
        return busy


_IGNORED = genai.GenerationStatus.IGNORED
_REASONS = {
    int(genai.GenerationFinishReason.STOP): FinishReason.EOS_TOKEN,
    int(genai.GenerationFinishReason.LENGTH): FinishReason.LENGTH,
}


class OpenVinoHandle:
    """One sequence inside the pipeline."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def read(self) -> Read | None:
        """Return what is new, or None. Raises LostSequenceError."""
        if self._handle.can_read():
            for output in self._handle.read().values():
                reason = _REASONS.get(int(output.finish_reason))
                return Read(output.generated_ids, output.generated_log_probs, reason)
        if self._handle.get_status() == _IGNORED:
            raise LostSequenceError
        return None

    def cancel(self) -> None:
        """Leave the batch before the next step."""
        self._handle.cancel()


@dataclass(frozen=True, slots=True)
class TextModel:
    """A loaded model."""

    pipeline: Pipeline
    tokenizer: OpenVinoTokenizer


@dataclass(frozen=True, slots=True)
class TextModelSource:
    """Where the model is, and how much room it gets."""

    path: Path
    adapter: Path | None
    """A LoRA adapter for a GGUF file."""
    cache: Path | None
    kv_cache_tokens: int
    max_batch_size: int
    max_batched_tokens: int
    prefix_caching: bool
    threads: int | None = None
    """Of the engine; None: OpenVINO's choice, one a core."""

    def load(self) -> TextModel:
        """Load the model: seconds of work. A GGUF file is converted, only once where there is a cache.

        Raises OSError, or RuntimeError for files that are of no use (AdapterError is one).
        """
        if self.path.is_dir():
            return self._load(self.path, {})
        if self.cache is None:
            with tempfile.TemporaryDirectory() as place:
                return self._convert(Path(place) / "model")
        converted = self.cache / self._fingerprint()
        if (converted / "openvino_model.xml").is_file():
            return self._load(converted, {})
        return self._convert(converted)

    def _convert(self, target: Path) -> TextModel:
        """Load a GGUF file and keep the OpenVINO model made from it, whole or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".converting-") as place:
            work = Path(place) / "model"
            work.mkdir()
            # OpenVINO opens a GGUF file for writing, too, and an installed one may not be ours to write.
            copy = work / "model.gguf"
            if self.adapter is None:
                shutil.copyfile(self.path, copy)
            else:
                _merge(self.path, self.adapter, copy)
            model = self._load(copy, {"enable_save_ov_model": True})
            copy.unlink()
            if not target.exists():
                work.rename(target)
        return model

    def _fingerprint(self) -> str:
        """Return a name that another file, another version of it, or another engine does not get."""
        told = f"{_state(self.path)}:{genai.__version__}"
        if self.adapter is not None:
            told += f":{_state(self.adapter)}"
        return f"{self.path.stem}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    def _load(self, path: Path, properties: dict[str, object]) -> TextModel:
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = 0
        scheduler.num_kv_blocks = self.kv_cache_tokens // KV_BLOCK_TOKENS
        scheduler.max_num_seqs = self.max_batch_size
        scheduler.max_num_batched_tokens = self.max_batched_tokens
        scheduler.enable_prefix_caching = self.prefix_caching
        tokenizer = genai.Tokenizer(str(path), **properties)
        compiled = {} if self.threads is None else {"INFERENCE_NUM_THREADS": self.threads}
        pipeline = genai.ContinuousBatchingPipeline(
            str(path), tokenizer, scheduler, "CPU", **properties, **compiled
        )
        directory = path if path.is_dir() else path.parent
        model = TextModel(OpenVinoPipeline(pipeline), OpenVinoTokenizer(tokenizer, directory))
        _warm_up(model)
        return model


def _state(path: Path) -> str:
    state = path.stat()
    return f"{path.name}:{state.st_size}:{state.st_mtime_ns}:{os.fspath(path.resolve())}"


def _merge(base: Path, adapter: Path, target: Path) -> None:
    from penstock.lora.merge import merge  # a third of a second, which only a first start has to pay

    merge(base, adapter, target, "Q8_0")


def _warm_up(model: TextModel) -> None:
    """Make the first kernels before the first client needs them."""
    handle = model.pipeline.add(model.tokenizer.encode("Hello"), 2, Sampling())
    while model.pipeline.busy():
        model.pipeline.step()
    handle.read()


def _vocabulary(tokenizer: Any) -> Vocabulary:
    table: dict[bytes, int] = tokenizer.get_vocab()
    pieces = [b""] * (max(table.values(), default=-1) + 1)
    for piece, token in table.items():
        pieces[token] = piece
    bracketed = [
        token for piece, token in table.items() if len(piece) > 2 and (piece[:1], piece[-1:]) in _BRACKETS
    ]
    shown = tokenizer.decode([[token] for token in bracketed], skip_special_tokens=True) if bracketed else []
    special = {token for token, text in zip(bracketed, shown, strict=True) if not text}
    return Vocabulary(pieces, frozenset(special | {tokenizer.get_eos_token_id()} - {-1}))


_BRACKETS = {(b"<", b">"), (b"[", b"]")}
