"""A Llama model small enough to train in a second, as a file."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from penstock.lora.model_file import ModelFile

WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS = 64, 96, 3, 4, 2


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """A random model whose tokens are bytes, and the special ones of the chat template."""
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    tokens = [*_bytes(), "<|im_start|>", "<|im_end|>"]
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3, 3])
    writer.add_token_merges(["t h"])
    _add(
        writer,
        "token_embd.weight",
        random.normal(0, 0.5, (len(tokens), WIDTH)),
        gguf.GGMLQuantizationType.Q8_0,
    )
    kv = KV_HEADS * WIDTH // HEADS
    sizes = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (kv, WIDTH),
        "attn_v": (kv, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (HIDDEN, WIDTH),
        "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }
    for layer in range(LAYERS):
        for name, size in sizes.items():
            data = random.normal(0, 0.15, size)
            _add(writer, f"blk.{layer}.{name}.weight", data, gguf.GGMLQuantizationType.Q4_1)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return ModelFile(path)


def _add(writer: gguf.GGUFWriter, name: str, data: np.ndarray, kind: gguf.GGMLQuantizationType) -> None:
    writer.add_tensor(name, gguf.quants.quantize(data.astype(np.float32), kind), raw_dtype=kind)


def _bytes() -> list[str]:
    """The letters that stand for bytes; the last one gives way to the one merge."""
    from tokenizers.pre_tokenizers import ByteLevel

    return [*sorted(ByteLevel.alphabet())[:255], "th"]
