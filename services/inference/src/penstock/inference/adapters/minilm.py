"""A BERT sentence encoder (all-MiniLM-L6-v2) as an OpenVINO graph, built from its safetensors; no torch."""

import json
import math
import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino  # type: ignore[import-untyped]  # the wheel has stubs but no py.typed
import openvino.opset13 as ops  # type: ignore[import-untyped]  # the same
from safetensors.numpy import load_file
from tokenizers import BertWordPieceTokenizer

Array = npt.NDArray[np.float32]
Weights = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BertShape:
    """The sizes in the model's config.json."""

    layers: int
    heads: int
    width: int
    epsilon: float

    @classmethod
    def read(cls, path: Path) -> "BertShape":
        """Read config.json."""
        config = json.loads(path.read_text())
        return cls(
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            width=config["hidden_size"],
            epsilon=config["layer_norm_eps"],
        )


class MiniLm:
    """Texts to sentence vectors by mean pooling over the tokens.

    As many inferences run at a time as there are `streams`, each on one core: on a busy machine an inference
    on several cores waits for the slowest of them (measured with both cores taken: 6 ms on one, 31 on two).
    """

    def __init__(self, directory: Path, max_length: int, streams: int) -> None:
        shape = BertShape.read(directory / "config.json")
        graph = _graph(load_file(directory / "model.safetensors"), shape)
        config = {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams}
        compiled = openvino.Core().compile_model(graph, "CPU", config)
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(streams):
            self._requests.put(compiled.create_infer_request())
        self._tokenizer = BertWordPieceTokenizer(str(directory / "vocab.txt"), lowercase=True)
        self.width = shape.width
        self.max_length = max_length

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, special tokens included, however many there are."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def cut(self, ids: list[int], *, left: bool) -> list[int]:
        """Return at most `max_length` ids: the first token, the last one, and the text's start (or end)."""
        if len(ids) <= self.max_length:
            return ids
        room = self.max_length - 2
        body = ids[-1 - room : -1] if left else ids[1 : 1 + room]
        return [ids[0], *body, ids[-1]]

    def encode(self, batch: Sequence[list[int]]) -> Array:
        """Return one vector of `width` a text, not normalised."""
        length = max(len(ids) for ids in batch)
        ids = np.zeros((len(batch), length), dtype=np.int64)
        mask = np.zeros((len(batch), length), dtype=np.float32)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        request = self._requests.get()
        try:
            request.infer({"ids": ids, "mask": mask}, share_inputs=True)
            vectors: Array = request.get_output_tensor(0).data.copy()
        finally:
            self._requests.put(request)
        return vectors


def _graph(weights: Weights, shape: BertShape) -> Any:
    ids = ops.parameter([-1, -1], np.int64, name="ids")
    mask = ops.parameter([-1, -1], np.float32, name="mask")
    state = _embeddings(weights, ids, shape)
    # 0 for a token, a large negative number for padding: [batch, 1, 1, length].
    bias = ops.unsqueeze((mask - _constant(1)) * _constant(1e9), np.array([1, 2]))
    for layer in range(shape.layers):
        state = _layer(weights, f"encoder.layer.{layer}", state, bias, shape)
    column = ops.unsqueeze(mask, np.array([2]))
    total = ops.reduce_sum(state * column, np.array([1]), keep_dims=False)
    count = ops.reduce_sum(column, np.array([1]), keep_dims=False)
    graph = openvino.Model([ops.divide(total, count)], [ids, mask], "minilm")
    for parameter, name in ((ids, "ids"), (mask, "mask")):
        parameter.output(0).set_names({name})
    graph.validate_nodes_and_infer_types()
    return graph


def _embeddings(weights: Weights, ids: Any, shape: BertShape) -> Any:
    zero = np.array(0)
    length = ops.gather(ops.shape_of(ids), np.array(1), zero)
    positions = ops.range(np.array(0, dtype=np.int64), length, np.array(1, dtype=np.int64), "i64")
    words = ops.gather(_constant(weights["embeddings.word_embeddings.weight"]), ids, zero)
    places = ops.gather(_constant(weights["embeddings.position_embeddings.weight"]), positions, zero)
    segment = _constant(weights["embeddings.token_type_embeddings.weight"][0])
    return _norm(weights, "embeddings.LayerNorm", words + places + segment, shape)


def _layer(weights: Weights, name: str, state: Any, bias: Any, shape: BertShape) -> Any:
    query, key, value = (
        _heads(_linear(weights, f"{name}.attention.self.{part}", state), shape)
        for part in ("query", "key", "value")
    )
    scale = _constant(1 / math.sqrt(shape.width // shape.heads))
    scores = ops.softmax(ops.matmul(query, key, False, True) * scale + bias, axis=-1)
    mixed = ops.transpose(ops.matmul(scores, value, False, False), np.array([0, 2, 1, 3]))
    mixed = ops.reshape(mixed, np.array([0, 0, shape.width]), True)
    mixed = _linear(weights, f"{name}.attention.output.dense", mixed)
    state = _norm(weights, f"{name}.attention.output.LayerNorm", state + mixed, shape)
    wide = ops.gelu(_linear(weights, f"{name}.intermediate.dense", state), "erf")
    narrow = _linear(weights, f"{name}.output.dense", wide)
    return _norm(weights, f"{name}.output.LayerNorm", state + narrow, shape)


def _heads(state: Any, shape: BertShape) -> Any:
    split = ops.reshape(state, np.array([0, 0, shape.heads, shape.width // shape.heads]), True)
    return ops.transpose(split, np.array([0, 2, 1, 3]))


def _linear(weights: Weights, name: str, state: Any) -> Any:
    product = ops.matmul(state, _constant(weights[f"{name}.weight"]), False, True)
    return product + _constant(weights[f"{name}.bias"])


def _norm(weights: Weights, name: str, state: Any, shape: BertShape) -> Any:
    normal = ops.mvn(state, np.array([-1]), True, shape.epsilon, "inside_sqrt")
    return normal * _constant(weights[f"{name}.weight"]) + _constant(weights[f"{name}.bias"])


def _constant(values: Any) -> Any:
    return ops.constant(np.ascontiguousarray(values, dtype=np.float32))
