"""The engine without a server: all prompts of standard input at once, in this process.

Reads an `EngineRun` and prints an `EngineRate`. Loading the model and one short warm-up do not count.
"""

from __future__ import annotations

import sys
import time

import msgspec

from e2e.bench.real_model import EngineRate, EngineRun
from penstock.inference.adapters.openvino_text import TextModel
from penstock.inference.domain.generation import Sampling
from penstock.inference.main import make_parts
from penstock.inference.settings import Settings


def main() -> None:
    """Run."""
    run = msgspec.json.decode(sys.stdin.buffer.read(), type=EngineRun)
    model = make_parts(Settings()).load_text()
    _generate(model, [f"Warm up, number {number}." for number in range(len(run.prompts))], 16)
    started = time.perf_counter()
    tokens = _generate(model, run.prompts, run.max_new_tokens)
    rate = EngineRate(tokens, time.perf_counter() - started)
    sys.stdout.write(msgspec.json.encode(rate).decode() + "\n")


def _generate(model: TextModel, prompts: list[str], max_new_tokens: int) -> int:
    """Return how many tokens were written."""
    handles = [
        model.pipeline.add(model.tokenizer.encode(prompt), max_new_tokens, Sampling()) for prompt in prompts
    ]
    tokens = 0
    while model.pipeline.busy():
        model.pipeline.step()
        for handle in handles:
            read = handle.read()
            tokens += len(read.ids) if read else 0
    return tokens


if __name__ == "__main__":
    main()
