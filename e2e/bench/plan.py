"""How much is measured: the full run, and a quick one to see that all works."""

from __future__ import annotations

from dataclasses import dataclass

from e2e.bench.load import Load

FIRST_MS, INTER_MS, TOKENS = 20, 5, 64
"""What the stub does meanwhile: time to its first token, from token to token, and how many there are."""
STREAMS = (1, 8, 32, 64)
_ANSWER_S = (FIRST_MS + INTER_MS * TOKENS) / 1000


@dataclass(frozen=True)
class Plan:
    """Loads, and how often the arms take turns under each."""

    stub: tuple[Load, ...]
    stub_rounds: int
    quiet_s: float
    """After which a stack counts as idle."""
    idle_s: float
    hop_records: int
    hop_rounds: int
    model: Load
    model_rounds: int
    traced: Load
    traced_model: Load
    traced_rounds: int
    traced_budget_s: float


def _stub_loads(ramp_s: float, window_s: float) -> tuple[Load, ...]:
    return tuple(
        Load(streams, TOKENS, ramp_s, window_s, even=True, begin_over_s=_ANSWER_S) for streams in STREAMS
    )


FULL = Plan(
    stub=_stub_loads(2.0, 6.0),
    stub_rounds=3,
    quiet_s=15.0,
    idle_s=40.0,
    hop_records=600,
    hop_rounds=3,
    model=Load(32, 64, 5.0, 12.0),
    model_rounds=3,
    traced=Load(64, 256, 4.0, 6.0),
    traced_model=Load(32, 256, 8.0, 15.0),
    traced_rounds=7,
    traced_budget_s=400,
)
QUICK = Plan(
    stub=_stub_loads(1.0, 2.0),
    stub_rounds=1,
    quiet_s=4.0,
    idle_s=10.0,
    hop_records=150,
    hop_rounds=1,
    model=Load(32, 32, 2.0, 4.0),
    model_rounds=1,
    traced=Load(64, 256, 4.0, 3.0),
    traced_model=Load(32, 64, 4.0, 5.0),
    traced_rounds=1,
    traced_budget_s=0,
)
