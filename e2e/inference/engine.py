"""The engine without a server. Reads seconds, one number a line, and steps a full batch for so long.

Answers with a line of JSON: tokens, seconds, and milliseconds of processor time.
"""

import json
import os
import sys
import time
from itertools import count

from penstock.inference.adapters.openvino_text import TextModel
from penstock.inference.adapters.pipeline import Handle
from penstock.inference.domain.generation import Sampling
from penstock.inference.main import make_parts
from penstock.inference.settings import Settings

from .load import RAMP_S, answer_length, prompt


def main() -> None:
    """Load the model, then run as told; the end of the input is the end."""
    settings = Settings()
    os.setpriority(os.PRIO_PROCESS, 0, settings.inference_niceness)
    model = make_parts(settings).load_text()
    streams = int(sys.argv[1])
    print("ready", flush=True)  # noqa: T201 - the answer to the parent
    for line in sys.stdin:
        print(json.dumps(_window(model, streams, float(line))), flush=True)  # noqa: T201 - the same
    os._exit(0)  # OpenVINO complains of the sequences that are still open when it is taken apart


def _window(model: TextModel, streams: int, seconds: float) -> dict[str, float]:
    numbers = count()

    def begin() -> Handle:
        nth = next(numbers)
        return model.pipeline.add(model.tokenizer.encode(prompt(nth)), answer_length(nth), Sampling())

    opened = [begin() for _ in range(streams)]

    def advance(until: float) -> int:
        tokens = 0
        while time.perf_counter() < until:
            model.pipeline.step()
            for place, handle in enumerate(opened):
                read = handle.read()
                tokens += len(read.ids) if read else 0
                if read and read.reason is not None:
                    opened[place] = begin()
        return tokens

    advance(time.perf_counter() + RAMP_S)
    started, spent = time.perf_counter(), time.process_time()
    tokens = advance(started + seconds)
    result = {
        "tokens": tokens,
        "seconds": time.perf_counter() - started,
        "cpu_ms": 1000 * (time.process_time() - spent),
    }
    for handle in opened:
        handle.cancel()
    model.pipeline.step()
    return result


if __name__ == "__main__":
    main()
