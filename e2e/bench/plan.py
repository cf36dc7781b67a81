"""How much is measured: the full run, and a quick one to see that all works."""

from __future__ import annotations

from dataclasses import dataclass

from e2e.bench.load import Flood


@dataclass(frozen=True)
class Step:
    """One number of streams: so many rounds of both arms, in each of which every client asks `each` times."""

    streams: int
    rounds: int
    each: int
    tokens: int


@dataclass(frozen=True)
class Rounds:
    """How often both arms are flooded: once at least, and no round begins after `budget_s` seconds."""

    most: int
    budget_s: float


@dataclass(frozen=True)
class Plan:
    """Times in the names' units."""

    first_ms: float
    """The stub's first-token delay while latency is measured."""
    inter_ms: float
    """The stub's delay from token to token meanwhile: longer than Penstock gathers text at one stream."""
    latency: tuple[Step, ...]
    flood_inter_ms: float
    """So short that neither arm can follow."""
    flood: Flood
    flood_rounds: Rounds
    model: Flood
    model_rounds: Rounds
    traced: Flood
    traced_rounds: Rounds
    traced_model: Flood
    traced_model_rounds: Rounds


FULL = Plan(
    first_ms=40,
    inter_ms=25,
    latency=(Step(1, 6, 8, 16), Step(16, 2, 2, 128), Step(64, 2, 2, 128)),
    flood_inter_ms=1,
    flood=Flood(streams=64, tokens=256, ramp_s=2.0, window_s=6.0),
    flood_rounds=Rounds(3, 40),
    model=Flood(streams=32, tokens=64, ramp_s=5.0, window_s=12.0),
    model_rounds=Rounds(3, 80),
    traced=Flood(streams=64, tokens=256, ramp_s=4.0, window_s=6.0),
    traced_rounds=Rounds(10, 240),
    traced_model=Flood(streams=32, tokens=256, ramp_s=8.0, window_s=15.0),
    traced_model_rounds=Rounds(8, 600),
)
QUICK = Plan(
    first_ms=40,
    inter_ms=25,
    latency=(Step(1, 2, 6, 16), Step(16, 2, 1, 64), Step(64, 2, 1, 64)),
    flood_inter_ms=1,
    flood=Flood(streams=64, tokens=256, ramp_s=1.5, window_s=3.0),
    flood_rounds=Rounds(1, 0),
    model=Flood(streams=32, tokens=32, ramp_s=2.0, window_s=5.0),
    model_rounds=Rounds(1, 0),
    traced=Flood(streams=64, tokens=256, ramp_s=4.0, window_s=3.0),
    traced_rounds=Rounds(2, 40),
    traced_model=Flood(streams=32, tokens=64, ramp_s=4.0, window_s=5.0),
    traced_model_rounds=Rounds(1, 0),
)
