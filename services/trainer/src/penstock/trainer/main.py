"""The trainer's command: `data`, `train`, `merge`, `check-loss`, `check-answers`.

Each command imports what it needs when it is called, so that `--help` does not wait for JAX.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HOME = Path("services/trainer")
CACHE = Path(".cache/trainer")
ADAPTER = Path("services/inference/src/penstock/inference/reader.safetensors")
"""Where the inference service finds it."""
_SIZES = """
size of an adapter in 16 bits, by rank, for SmolLM2-135M (of at most 6 MB):
  attn_q,attn_v                        8: 0.9 MB   16: 1.8 MB   32: 3.7 MB
  attn_q,attn_k,attn_v,attn_output     8: 1.8 MB   16: 3.7 MB   26: 6.0 MB
  attn_q,attn_v,attn_output,ffn_down   8: 2.5 MB   16: 5.0 MB   18: 5.6 MB
  all seven                            4: 2.4 MB    8: 4.9 MB    9: 5.5 MB
"""


def main(words: Sequence[str] | None = None) -> None:
    """Run one command; what went wrong is said in one line, with exit code 1."""
    given = _parser().parse_args(words)
    run: Callable[[argparse.Namespace], None] = given.run
    try:
        run(given)
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"penstock-trainer: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="penstock-trainer", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--examples", type=Path, default=CACHE / "examples.jsonl", help="the data (%(default)s)"
    )
    parser.add_argument("--base", type=Path, help="the model's GGUF file (default: the package's)")
    parser.add_argument("--adapter", type=Path, default=ADAPTER, help="(%(default)s)")
    parser.add_argument("--merged", type=Path, default=CACHE / "reader.gguf", help="(%(default)s)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_data(commands)
    _add_train(commands)
    merge = commands.add_parser("merge", help="adapter + base = a GGUF file, checked")
    merge.add_argument(
        "--kind", choices=("Q8_0", "F16"), default="Q8_0", help="of touched matrices (%(default)s)"
    )
    merge.set_defaults(run=_merge)
    loss = commands.add_parser("check-loss", help="loss after merging, beside that of base and adapter")
    loss.add_argument("--count", type=int, default=48)
    loss.set_defaults(run=_check_loss)
    answers = commands.add_parser(
        "check-answers", help="what the merged model writes in the engine that serves"
    )
    answers.add_argument("--count", type=int, default=40)
    answers.add_argument("--split", default="validation", choices=("validation", "unseen"))
    answers.set_defaults(run=_check_answers)
    return parser


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", help="make the examples and their manifest")
    data.add_argument("--count", type=int, default=2000, help="of training readings (%(default)s)")
    data.add_argument("--seed", type=int, default=16)
    data.add_argument("--processes", type=int, default=1)
    data.set_defaults(run=_data)


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train", help="train, or go on", epilog=_SIZES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    length = train.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="exactly so many; a run that stands gets a new end")
    length.add_argument("--minutes", type=float, default=60, help="as many steps as fit, measured before")
    train.add_argument(
        "--run", dest="folder", type=Path, default=CACHE / "run", help="where it stands (%(default)s)"
    )
    train.add_argument(
        "--start",
        type=Path,
        help="go on from this adapter, of the same rank and so on (default: a new one)",
    )
    train.add_argument("--rank", type=int, default=11)
    train.add_argument("--alpha", type=float, default=22)
    train.add_argument("--matrices", default="all", help="comma separated, or all")
    train.add_argument("--first-layer", type=int, default=8, help="layers below learn nothing (%(default)s)")
    train.add_argument("--budget", type=int, default=1280, help="tokens a step (%(default)s)")
    train.add_argument("--rate", type=float, default=8e-4, help="the highest learning rate (%(default)s)")
    train.add_argument("--seed", type=int, default=16)
    train.add_argument("--recompute", action="store_true", help="less memory, a third more time")
    train.add_argument(
        "--held", type=int, default=48, help="questions of validation and of unseen (%(default)s)"
    )
    train.set_defaults(run=_train)


def _data(given: argparse.Namespace) -> None:
    from concurrent.futures import ProcessPoolExecutor

    from penstock.trainer.data.build import build
    from penstock.trainer.data.corpora import CORPORA
    from penstock.trainer.data.examples import Split
    from penstock.trainer.data.manifest import lines, manifest, write

    counts: dict[Split, int] = {
        "train": given.count,
        "validation": given.count // 15,
        "unseen": given.count // 20,
    }
    with ProcessPoolExecutor(given.processes) as executor:
        examples = build(CORPORA, CACHE, counts, given.seed, executor)
    given.examples.parent.mkdir(parents=True, exist_ok=True)
    with given.examples.open("w", encoding="utf-8") as file:
        file.writelines(lines(examples))
    write(HOME / "manifest.json", manifest(CORPORA, examples, given.seed))
    _say(f"{len(examples)} examples in {given.examples}; counts in {HOME / 'manifest.json'}")


def _train(given: argparse.Namespace) -> None:
    from penstock.lora.adapter import save
    from penstock.lora.model_file import ModelFile, sha256_of
    from penstock.trainer.batches import read, rows
    from penstock.trainer.model import llama, lora
    from penstock.trainer.model.base import MATRICES, shape_of
    from penstock.trainer.model.tokens import Tokens
    from penstock.trainer.train import Run, Settings

    matrices = MATRICES if given.matrices == "all" else tuple(given.matrices.split(","))
    choice = lora.Choice(given.rank, given.alpha, matrices, given.first_layer)
    settings = Settings(
        choice=choice,
        budget=given.budget,
        peak=given.rate,
        seed=given.seed,
        remember=not given.recompute,
        start=sha256_of(given.start) if given.start else "",
    )
    file = ModelFile(_base(given))
    start = _start(given.start, choice, shape_of(file)) if given.start else None
    tokens = Tokens(file)
    found = rows(read(given.examples, "train"), tokens)
    held = rows(
        [*read(given.examples, "validation")[: given.held], *read(given.examples, "unseen")[: given.held]],
        tokens,
    )
    _say(f"{len(found)} rows, {2 * choice.values(shape_of(file)) / 1e6:.1f} MB to learn")
    run = Run(given.folder, settings, llama.load(file), shape_of(file), time.monotonic, _say, start)
    plan = run.plan(found, given.steps, given.minutes)
    run.train(found, held, plan)
    steps = plan[-1][1]
    about = _about(given, choice, steps)
    save(given.adapter, lora.to_arrays(run.adapter, choice), about)
    _say(f"{given.adapter}: {given.adapter.stat().st_size / 1e6:.2f} MB after {steps} steps")


def _start(path: Path, choice: Any, shape: Any) -> Any:
    from penstock.lora.adapter import load
    from penstock.trainer.model import lora

    arrays, about = load(path)
    kept = lora.Choice(about.rank, about.alpha, about.matrices, about.first_layer)
    if kept != choice:
        raise ValueError(f"{path} is of another form ({kept}): give the same --rank, --alpha and so on")
    return lora.from_arrays(arrays, choice, shape)


def _about(given: argparse.Namespace, choice: Any, steps: int) -> Any:
    from penstock.lora.adapter import AdapterMetadata
    from penstock.lora.model_file import sha256_of
    from penstock.trainer.prompt import READER

    return AdapterMetadata(
        base=sha256_of(_base(given)),
        rank=choice.rank,
        alpha=choice.alpha,
        matrices=choice.matrices,
        first_layer=choice.first,
        seed=given.seed,
        steps=steps,
        data=sha256_of(given.examples),
        prompt_form=READER.name,
    )


def _merge(given: argparse.Namespace) -> None:
    from penstock.lora.merge import check, merge

    merge(_base(given), given.adapter, given.merged, given.kind)
    _say(f"{given.merged}: {given.merged.stat().st_size / 1e6:.0f} MB")
    worst = check(_base(given), given.adapter, given.merged)
    _say(f"as base + adapter; the largest error is {worst:.2f} of what rounding explains")


def _check_loss(given: argparse.Namespace) -> None:
    from penstock.trainer.losses import losses

    print(json.dumps(losses(_base(given), given.adapter, given.merged, given.examples, given.count)))  # noqa: T201


def _check_answers(given: argparse.Namespace) -> None:
    from penstock.trainer.answers import figures
    from penstock.trainer.batches import read

    chosen = read(given.examples, given.split)[: given.count]
    print(json.dumps(figures(given.merged, chosen, _say)))  # noqa: T201  # the command's result


def _base(given: argparse.Namespace) -> Path:
    from penstock.trainer.model.base import base_file

    return given.base or base_file()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201  # a command speaks to people


if __name__ == "__main__":
    main()
