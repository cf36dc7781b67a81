"""The forward pass, the adapter beside it, and a run that is killed, on a tiny random model."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penstock.lora.model_file import ModelFile
from penstock.trainer.batches import Asked, Row, batch, in_order, rows
from penstock.trainer.model import llama, lora
from penstock.trainer.model.base import shape_of
from penstock.trainer.model.tokens import Tokens
from penstock.trainer.score import judge, scores
from penstock.trainer.train import Run, Settings, _compiled

CHOICE = lora.Choice(rank=2, alpha=4, matrices=("attn_q", "ffn_down"))


@pytest.fixture(scope="module")
def frozen(tiny: ModelFile) -> llama.Frozen:
    return llama.load(tiny)


def _rows(how_many: int) -> list[Row]:
    random = np.random.default_rng(1)
    return [
        Row(
            tuple(random.integers(1, 250, 30).tolist()),
            (
                Asked(
                    "which" if at % 3 else "sibling",
                    tuple(random.integers(1, 250, 10 + at % 5).tolist()),
                    (5, 6, 7, 257),
                ),
            ),
        )
        for at in range(how_many)
    ]


def test_an_adapter_changes_nothing_before_it_learns(tiny: ModelFile, frozen: llama.Frozen) -> None:
    tokens, shape = llama.plain(jnp.arange(24).reshape(2, 12)), shape_of(tiny)
    adapter = lora.start(CHOICE, shape, seed=3)
    with_it = llama.hidden_states(frozen, adapter, CHOICE.scale, tokens, shape)
    assert np.array_equal(with_it, llama.hidden_states(frozen, {}, 1.0, tokens, shape))


def test_what_stands_behind_changes_nothing_before_it(tiny: ModelFile, frozen: llama.Frozen) -> None:
    shape = shape_of(tiny)
    one = llama.hidden_states(frozen, {}, 1.0, llama.plain(jnp.asarray([[1, 2, 3, 0, 0]])), shape)
    other = llama.hidden_states(frozen, {}, 1.0, llama.plain(jnp.asarray([[1, 2, 3, 9, 9]])), shape)
    np.testing.assert_allclose(one[:, :3], other[:, :3], rtol=1e-6)


def test_layers_below_the_first_learn_nothing(tiny: ModelFile, frozen: llama.Frozen) -> None:
    choice, shape = lora.Choice(rank=2, alpha=4, matrices=("attn_v",), first=2), shape_of(tiny)
    adapter = lora.start(choice, shape, seed=3)
    assert adapter["attn_v"]["a"].shape[0] == 1
    arrays = lora.to_arrays(adapter, choice)
    assert sorted(arrays) == ["blk.2.attn_v.weight.lora_a", "blk.2.attn_v.weight.lora_b"]
    assert 2 * choice.values(shape) == sum(array.nbytes for array in arrays.values())
    states = llama.hidden_states(frozen, adapter, 2.0, llama.plain(jnp.zeros((1, 4), int)), shape)
    assert states.shape == (1, 4, shape.width)


def test_an_adapter_is_stored_and_read_again(tiny: ModelFile) -> None:
    adapter = lora.start(CHOICE, shape_of(tiny), seed=3)
    again = lora.from_arrays(lora.to_arrays(adapter, CHOICE), CHOICE, shape_of(tiny))
    for one, other in zip(jax.tree.leaves(adapter), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_tokens_come_back_as_the_text_they_were(tiny: ModelFile) -> None:
    tokens = Tokens(tiny)
    ids = tokens.encode("<|im_start|>the 12 kilns<|im_end|>")
    assert ids[0] == 256
    assert ids[-1] == tokens.end == 257
    assert tokens.decode(ids) == "<|im_start|>the 12 kilns<|im_end|>"


def test_batches_come_in_an_order_that_the_seed_decides() -> None:
    rows = _rows(10)
    one, same, other = (in_order(rows, 600, seed) for seed in (1, 1, 2))
    first = [next(one) for _ in range(9)]
    assert first == [next(same) for _ in range(9)]
    assert first != [next(other) for _ in range(9)]
    assert all(len(chosen) == 3 for chosen in first)


def test_loss_is_that_of_the_answers_tokens_alone(tiny: ModelFile, frozen: llama.Frozen) -> None:
    [row] = _rows(1)
    losses, hits = scores({}, frozen, batch([row], 48), shape_of(tiny), 1.0)
    [one] = row.asked
    prompt = row.shared + one.question
    text = llama.plain(jnp.asarray([prompt + one.answer]))
    states = llama.hidden_states(frozen, {}, 1.0, text, shape_of(tiny))
    told = jax.nn.log_softmax(llama.logits(frozen, states[0]), axis=-1)
    wanted = [-told[len(prompt) - 1 + at, token] for at, token in enumerate(one.answer)]
    np.testing.assert_allclose(losses[0, :4], wanted, rtol=1e-4)
    assert float(losses[0, 4:].sum()) == float(hits[0, 4:].sum()) == 0


def test_questions_of_one_reading_do_not_see_one_another(tiny: ModelFile, frozen: llama.Frozen) -> None:
    alone = _rows(3)
    shared = alone[0].shared
    alone = [Row(shared, row.asked) for row in alone]
    together = Row(shared, tuple(one for row in alone for one in row.asked))
    apart, _ = scores({}, frozen, batch(alone, 192), shape_of(tiny), 1.0)
    losses, _ = scores({}, frozen, batch([together], 192), shape_of(tiny), 1.0)
    np.testing.assert_allclose(losses[0, :12], apart[:, :4].reshape(-1), rtol=1e-4)


def test_a_row_shares_what_its_questions_have_in_common(tiny: ModelFile) -> None:
    passages = [{"label": "Kiln", "text": "The kiln heats. The loom weaves."}]
    example = {"split": "train", "reading": 0, "form": "reader-1", "kind": "which", "passages": passages}
    asked = [
        {**example, "question": "What heats?", "answer": "The kiln heats. [1]"},
        {**example, "question": "When does it weave?", "answer": "The loom weaves. [1]"},
        {**example, "reading": 1, "question": "What heats it?", "answer": "The documents do not say."},
        {**example, "reading": 1, "question": "What cools?", "answer": "The kiln " * 80},
    ]
    tokens = Tokens(tiny)
    first, second = rows(asked, tokens)
    assert tokens.decode(first.shared).endswith("</passages>\nQuestion: Wh")
    assert [tokens.decode(one.answer) for one in first.asked] == [
        "The kiln heats. [1]<|im_end|>",
        "The loom weaves. [1]<|im_end|>",
    ]
    assert len(second.asked) == 1  # the other answer is too long
    assert (first.length, second.length) == (256, 192)


def test_an_adapter_learns_as_the_plain_formula_says() -> None:
    random = np.random.default_rng(5)
    x, weights, a, b = (
        jnp.asarray(random.normal(size=size), jnp.float32)
        for size in ((2, 5, 16), (16, 12), (16, 3), (3, 12))
    )

    def plain(x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        return ((x @ weights + 2.0 * (x @ a) @ b) ** 2).sum()

    def merged(x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        [(_, whole)] = llama._merged({"w": weights}, {"w": {"a": a, "b": b}}, 2.0).items()
        return (llama._taught(x, whole, a, b, 2.0) ** 2).sum()

    for one, other in zip(*(jax.grad(f, (0, 1, 2))(x, a, b) for f in (plain, merged)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3)


def _run(folder: Path, tiny: ModelFile, frozen: llama.Frozen, clock: Iterator[int]) -> Run:
    settings = Settings(choice=CHOICE, budget=600, warmup=2, checkpoint_seconds=2, validations=2)
    return Run(folder, settings, frozen, shape_of(tiny), lambda: float(next(clock)), lambda _: None)


def test_a_run_that_is_killed_goes_on_to_the_same_weights(
    tmp_path: Path, tiny: ModelFile, frozen: llama.Frozen
) -> None:
    rows = _rows(12)
    whole = _run(tmp_path / "whole", tiny, frozen, count())
    plan = whole.plan(rows, 8, 0)
    whole.train(rows, rows[:3], plan)

    class Killed(Exception):
        pass

    def ends() -> Iterator[int]:
        yield from range(9)
        raise Killed

    broken = _run(tmp_path / "broken", tiny, frozen, ends())
    assert broken.plan(rows, 8, 0) == [(0, 8)]
    with pytest.raises(Killed):
        broken.train(rows, rows[:3], [(0, 8)])
    resumed = _run(tmp_path / "broken", tiny, frozen, count())
    resumed.train(rows, rows[:3], resumed.plan(rows, None, 100))
    for one, other in zip(jax.tree.leaves(whole.adapter), jax.tree.leaves(resumed.adapter), strict=True):
        assert np.array_equal(one, other)
    log = (tmp_path / "whole" / "log.jsonl").read_text().splitlines()
    assert len(log) == 4  # three validations and the last steps' loss


def test_a_run_gets_a_new_end(tmp_path: Path, tiny: ModelFile, frozen: llama.Frozen) -> None:
    rows = _rows(12)
    run = _run(tmp_path, tiny, frozen, count())
    run.train(rows, [], run.plan(rows, 4, 0))
    longer = _run(tmp_path, tiny, frozen, count())
    assert longer.plan(rows, 6, 0) == [(0, 4), (4, 6)]
    longer.train(rows, [], [(0, 4), (4, 6)])
    assert _run(tmp_path, tiny, frozen, count()).plan(rows, None, 0) == [(0, 4), (4, 6)]
    with pytest.raises(ValueError, match="6 steps already"):
        _run(tmp_path, tiny, frozen, count()).plan(rows, 5, 0)


def test_a_run_goes_on_from_an_adapter(tmp_path: Path, tiny: ModelFile, frozen: llama.Frozen) -> None:
    rows = _rows(6)
    first = _run(tmp_path / "first", tiny, frozen, count())
    first.train(rows, [], [(0, 4)])
    stored = lora.from_arrays(lora.to_arrays(first.adapter, CHOICE), CHOICE, shape_of(tiny))
    settings = Settings(choice=CHOICE, budget=600, start="its hash")
    second = Run(tmp_path / "second", settings, frozen, shape_of(tiny), lambda: 0.0, lambda _: None, stored)
    for one, other in zip(jax.tree.leaves(first.adapter), jax.tree.leaves(second.adapter), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    second.plan(rows, 4, 0)
    with pytest.raises(ValueError, match="another run"):
        _run(tmp_path / "second", tiny, frozen, count()).plan(rows, 4, 0)


def test_another_runs_folder_is_refused(tmp_path: Path, tiny: ModelFile, frozen: llama.Frozen) -> None:
    _run(tmp_path, tiny, frozen, count()).plan(_rows(3), 4, 0)
    other = Run(tmp_path, Settings(seed=99), frozen, shape_of(tiny), lambda: 0.0, lambda _: None)
    with pytest.raises(ValueError, match="another run"):
        other.plan(_rows(3), 4, 0)
    with pytest.raises(ValueError, match="another run"):
        _run(tmp_path, tiny, frozen, count()).plan(_rows(4), 4, 0)


def test_minutes_become_steps_by_measuring(tmp_path: Path, tiny: ModelFile, frozen: llama.Frozen) -> None:
    # The clock ticks once a look: a step takes a second, and four looks are gone before.
    assert _run(tmp_path, tiny, frozen, count()).plan(_rows(6), None, 1) == [(0, 57)]


def test_training_lowers_the_loss(tmp_path: Path, tiny: ModelFile, frozen: llama.Frozen) -> None:
    rows = _rows(6)
    run = Run(
        tmp_path, Settings(choice=CHOICE, budget=600, peak=2e-2, warmup=2), frozen, shape_of(tiny), float, str
    )
    score, _ = _compiled(shape_of(tiny), CHOICE.scale, True, 1.0)
    before = judge(lambda given: score(run.adapter, frozen, given), rows, 600)
    run.train(rows, [], [(0, 30)])
    after = judge(lambda given: score(run.adapter, frozen, given), rows, 600)
    assert after["loss"] < 0.5 * before["loss"]
    assert after["ended"] > before["ended"]
