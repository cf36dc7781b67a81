"""The engine without a server, in this process, with its batch kept full.

Reads an `EngineRun` from standard input and prints an `EngineRate`.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import count

import msgspec

from e2e.bench.real_model import EngineRate, EngineRun
from penstock.inference.adapters.openvino_text import TextModel
from penstock.inference.adapters.pipeline import Handle
from penstock.inference.domain.generation import Sampling
from penstock.inference.main import make_parts
from penstock.inference.settings import Settings


def main() -> None:
    """Load the model, run, print; the process then ends in the middle of whatever it generates."""
    run = msgspec.json.decode(sys.stdin.buffer.read(), type=EngineRun)
    os.environ.setdefault("PENSTOCK_MODEL_ADAPTER", "none")  # as in the stack beside which it is measured
    batch = _Batch(make_parts(Settings()).load_text(), run)
    batch.advance(run.load.ramp_s)
    started = time.perf_counter()
    tokens = batch.advance(run.load.window_s)
    rate = EngineRate(tokens, time.perf_counter() - started)
    sys.stdout.write(msgspec.json.encode(rate).decode() + "\n")
    sys.stdout.flush()
    # OpenVINO complains of the sequences that are still open when it is taken apart.
    os._exit(0)


class _Batch:
    """As many sequences as there are streams; the next prompt follows each that ends."""

    def __init__(self, model: TextModel, run: EngineRun) -> None:
        self._model = model
        self._run = run
        self._numbers = count()
        self._open = [self._next() for _ in range(run.load.streams)]

    def advance(self, seconds: float) -> int:
        """Step for so long, and until as many sequences have ended as there are streams, as `hold` does.

        Return how many tokens were written.
        """
        until = time.perf_counter() + seconds
        tokens = ended = 0
        while ended < len(self._open) or time.perf_counter() < until:
            self._model.pipeline.step()
            for place, handle in enumerate(self._open):
                read = handle.read()
                tokens += len(read.ids) if read else 0
                if read and read.reason is not None:
                    ended += 1
                    self._open[place] = self._next()
        return tokens

    def _next(self) -> Handle:
        nth = next(self._numbers)
        prompt = self._model.tokenizer.encode(self._run.prompts[nth % len(self._run.prompts)])
        return self._model.pipeline.add(prompt, self._run.load.length(nth), Sampling())


if __name__ == "__main__":
    main()
