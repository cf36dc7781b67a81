"""What a merged model writes, greedily, in the engine that serves it (OpenVINO GenAI)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import openvino_genai

from penstock.trainer.data.sentences import content, overlap
from penstock.trainer.prompt import FORMS, REFUSAL, Shown, render

_MOST_TOKENS = 128
_CITED = re.compile(r"\[(\d+)\]")
_SAME = 0.7
"""So large a share of the wanted answer's words, and the answer says it."""


def figures(model: Path, examples: Sequence[dict[str, Any]], says: Callable[[str], None]) -> dict[str, float]:
    """Return shares over examples, and the median of an answer's tokens; each example is told to `says`.

    Of answerable questions: `right` says the wanted sentence, `cited` names its passage (of all),
    `refused_wrongly`; of unanswerable ones: `refused`, with the sentence of refusal exactly. `ended`: before
    128 tokens.
    """
    counts: dict[str, int] = defaultdict(int)
    lengths = []
    for example, (text, size) in zip(examples, _written(model, examples), strict=True):
        says(f"{example['kind']} | {example['question']} | {text!r} | wanted {example['answer']!r}")
        lengths.append(size)
        counts["ended"] += size < _MOST_TOKENS
        if not example["right"]:
            counts["unanswerable"] += 1
            counts["refused"] += text.strip() == REFUSAL
            continue
        counts["answerable"] += 1
        counts["refused_wrongly"] += text.strip() == REFUSAL
        counts["cited"] += _CITED.findall(text) == [str(example["right"])]
        wanted = frozenset(content(_CITED.sub("", example["answer"])))
        counts["right"] += overlap(wanted, frozenset(content(text))) >= _SAME
    answerable, unanswerable = max(1, counts["answerable"]), max(1, counts["unanswerable"])
    return {
        "examples": len(examples),
        "right": counts["right"] / answerable,
        "cited": counts["cited"] / answerable,
        "refused_wrongly": counts["refused_wrongly"] / answerable,
        "refused": counts["refused"] / unanswerable,
        "ended": counts["ended"] / max(1, len(examples)),
        "median_tokens": median(lengths) if lengths else 0,
    }


def _written(model: Path, examples: Sequence[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """Yield what the model writes for each example, and how many tokens that are."""
    pipeline = openvino_genai.LLMPipeline(str(model), "CPU")
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = _MOST_TOKENS
    config.do_sample = False
    config.apply_chat_template = False
    for example in examples:
        shown = [Shown(**passage) for passage in example["passages"]]
        done = pipeline.generate([render(FORMS[example["form"]], shown, example["question"])], config)
        yield done.texts[0], int(done.perf_metrics.get_num_generated_tokens())
