"""How much is measured: the full run, and a quick one to see that all works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One number of streams: so many rounds of both arms, in each of which every client asks `each` times."""

    streams: int
    rounds: int
    each: int
    tokens: int


@dataclass(frozen=True)
class Prompts:
    """One kind of prompt for the real model; before the `rounds` both arms have a round that does not count
    if `warm_up` says so. Prompts with passages are long, and most of the time then goes into reading them.
    """

    name: str
    passages: bool
    rounds: int
    warm_up: bool


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
    flood_streams: int
    flood_tokens: int
    flood_rounds: int
    flood_ramp_s: float
    flood_window_s: float
    model_streams: int
    model_tokens: int
    model_prompts: tuple[Prompts, ...]
    """Those without passages first: documents are ingested before the first that have some."""


FULL = Plan(
    first_ms=40,
    inter_ms=25,
    latency=(Step(1, 6, 8, 16), Step(16, 4, 2, 64), Step(64, 4, 2, 64)),
    flood_inter_ms=1,
    flood_streams=64,
    flood_tokens=256,
    flood_rounds=3,
    flood_ramp_s=2.0,
    flood_window_s=6.0,
    model_streams=32,
    model_tokens=128,
    model_prompts=(
        Prompts("plain questions", passages=False, rounds=4, warm_up=True),
        Prompts("questions with passages", passages=True, rounds=1, warm_up=False),
    ),
)
QUICK = Plan(
    first_ms=40,
    inter_ms=25,
    latency=(Step(1, 2, 6, 16), Step(16, 2, 1, 32), Step(64, 2, 1, 32)),
    flood_inter_ms=1,
    flood_streams=64,
    flood_tokens=256,
    flood_rounds=1,
    flood_ramp_s=1.5,
    flood_window_s=3.0,
    model_streams=32,
    model_tokens=64,
    model_prompts=(Prompts("plain questions", passages=False, rounds=1, warm_up=True),),
)
