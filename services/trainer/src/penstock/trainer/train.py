"""The training run: the same data, seed and steps give the same adapter, killed in between or not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from penstock.trainer import checkpoint
from penstock.trainer.batches import Batch, Row, batch, in_order
from penstock.trainer.model import lora
from penstock.trainer.model.base import Shape
from penstock.trainer.model.llama import Frozen
from penstock.trainer.score import Scored, judge, scores

Clock: TypeAlias = Callable[[], float]
"""Returns seconds; only differences count."""
State: TypeAlias = tuple[lora.Adapter, optax.OptState]
Plan: TypeAlias = Sequence[tuple[int, int]]
"""From which step on a run is to have how many steps in all; the first entry is for step 0."""
_SAMPLE = 200  # batches whose lengths stand for those of the whole run


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train. `budget` is in tokens a step, padding included; `peak` and `least` are learning rates;
    `start` is the SHA-256 of the adapter that it goes on from, empty for a new one.
    """

    choice: lora.Choice = field(default_factory=lora.Choice)
    budget: int = 1280
    peak: float = 8e-4
    least: float = 4e-5
    warmup: int = 20
    clip: float = 1.0
    seed: int = 16
    remember: bool = True
    checkpoint_seconds: float = 180
    validations: int = 4
    start: str = ""


class Run:
    """A run in a folder: `plan.json`, `state.safetensors`, `log.jsonl`."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        frozen: Frozen,
        shape: Shape,
        clock: Clock,
        says: Callable[[str], None],
        start: lora.Adapter | None = None,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._frozen = frozen
        self._clock = clock
        self._says = says
        self._score, self._step = _compiled(shape, settings.choice.scale, settings.remember, settings.clip)
        adapter = start or lora.start(settings.choice, shape, settings.seed)
        self._state: State = (adapter, _optimizer(settings.clip).init(adapter))
        self._done = 0
        if self._kept.exists():
            self._state, self._done = checkpoint.load(self._kept, self._state)

    @property
    def adapter(self) -> lora.Adapter:
        """Return what is learned so far."""
        return self._state[0]

    @property
    def _kept(self) -> Path:
        return self._folder / "state.safetensors"

    def plan(self, found: Sequence[Row], steps: int | None, minutes: float) -> Plan:
        """Return how many steps the run has in all, which is kept in `plan.json`.

        Without `steps`, as many as fit into `minutes`, by a measured step of each length. A run that stands
        in the folder keeps its plan, unless it is given other `steps`: these count from where it stands.
        ValueError if it has other settings, or other examples, or has done more than that.
        """
        path = self._folder / "plan.json"
        tokens = [token for row in found for token in row.tokens]
        data = hashlib.sha256(np.asarray(tokens, np.int32).tobytes()).hexdigest()
        wanted = {"settings": json.loads(json.dumps(asdict(self._settings))), "data": data}
        if path.exists():
            kept = json.loads(path.read_text())
            plan = [(int(at), int(count)) for at, count in kept.pop("plan")]
            if kept != wanted:
                raise ValueError(f"{self._folder} holds another run: remove it, or name another folder")
            if steps is None or steps == plan[-1][1]:
                return plan
            if steps < self._done:
                raise ValueError(f"{self._folder} has done {self._done} steps already")
            plan.append((self._done, steps))
        else:
            plan = [(0, steps or self._fitting(found, 60 * minutes))]
        self._folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**wanted, "plan": plan}, indent=2) + "\n")
        return plan

    def train(self, found: Sequence[Row], held: Sequence[Row], plan: Plan) -> None:
        """Do what is left of a plan; validate on `held` at the beginning, some times between, at the end."""
        steps = plan[-1][1]
        began = kept = self._clock()
        recent: list[float] = []
        marks = {
            round(steps * part / self._settings.validations) for part in range(1, self._settings.validations)
        }
        if not self._done:
            self._validate(held)
        for at, chosen in self._left(found, steps):
            self._state, loss = self._step(self._state, self._frozen, batch(chosen), self._rate(at, plan))
            self._done = at + 1
            recent.append(float(loss))
            if self._done % 20 == 0 or self._done == steps:
                self._log(
                    step=self._done, loss=float(np.mean(recent)), seconds=round(self._clock() - began, 1)
                )
                recent.clear()
            if self._clock() - kept > self._settings.checkpoint_seconds or self._done == steps:
                checkpoint.save(self._kept, self._state, self._done)
                kept = self._clock()
            if self._done in marks or self._done == steps:
                self._validate(held)

    def _left(self, found: Sequence[Row], steps: int) -> Iterator[tuple[int, list[Row]]]:
        order = in_order(found, self._settings.budget, self._settings.seed)
        return islice(enumerate(order), self._done, steps)

    def _rate(self, at: int, plan: Plan) -> float:
        """The learning rate of a step: up in a line, then down along a cosine (arXiv:1608.03983)."""
        chosen = self._settings
        steps = next(count for since, count in reversed(plan) if since <= at)
        if at < chosen.warmup:
            return chosen.peak * (at + 1) / chosen.warmup
        part = (at - chosen.warmup) / max(1, steps - chosen.warmup)
        return chosen.least + (chosen.peak - chosen.least) * 0.5 * (1 + float(np.cos(np.pi * part)))

    def _fitting(self, found: Sequence[Row], seconds: float) -> int:
        """How many steps fit: each length is compiled, then measured once; what is learned is thrown away."""
        began = self._clock()
        first = list(islice(in_order(found, self._settings.budget, self._settings.seed), _SAMPLE))
        took: dict[int, float] = {}
        for chosen in first:
            if chosen[0].length not in took:
                took[chosen[0].length] = self._measured(chosen)
                self._says(
                    f"a step of {len(chosen)} x {chosen[0].length} takes {took[chosen[0].length]:.1f} s"
                )
        mean = sum(took[chosen[0].length] for chosen in first) / len(first)
        return max(self._settings.warmup, int((seconds - (self._clock() - began)) / mean))

    def _measured(self, chosen: Sequence[Row]) -> float:
        given = batch(chosen)
        float(self._step(self._state, self._frozen, given, 0.0)[1])
        began = self._clock()
        float(self._step(self._state, self._frozen, given, 0.0)[1])  # waits until it is done
        return self._clock() - began

    def _validate(self, held: Sequence[Row]) -> None:
        if held:
            score = partial(self._scored, self._state[0])
            self._log(step=self._done, validation=judge(score, held, self._settings.budget))

    def _scored(self, adapter: lora.Adapter, given: Batch) -> Scored:
        return self._score(adapter, self._frozen, given)

    def _log(self, **what: Any) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps(what)
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        self._says(line)


def _optimizer(clip: float) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(clip), optax.scale_by_adam(b2=0.99))


@cache
def _compiled(
    shape: Shape, scale: float, remember: bool, clip: float
) -> tuple[Callable[..., Scored], Callable[..., tuple[State, jax.Array]]]:
    """The functions of a run; another run of the same numbers finds them compiled."""
    scored = partial(scores, shape=shape, scale=scale, remember=remember)
    return jax.jit(scored), jax.jit(partial(_stepped, scored, _optimizer(clip)))


def _stepped(
    scored: Callable[..., Scored],
    optimizer: optax.GradientTransformation,
    state: State,
    frozen: Frozen,
    given: Batch,
    rate: float,
) -> tuple[State, jax.Array]:
    """One step of Adam (arXiv:1412.6980) on the mean loss of the answers' tokens."""
    adapter, memory = state

    def loss_of(adapter: lora.Adapter) -> jax.Array:
        losses, _ = scored(adapter, frozen, given)
        return losses.sum() / jnp.maximum(given.counts.sum(), 1)

    loss, gradient = jax.value_and_grad(loss_of)(adapter)
    change, memory = optimizer.update(gradient, memory, adapter)
    return (jax.tree.map(lambda value, by: value - rate * by, adapter, change), memory), loss
