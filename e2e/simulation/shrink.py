"""Fewer faults that break the same promise: what is left is the story to read (ddmin, Zeller, TSE 2002)."""

from __future__ import annotations

from dataclasses import replace

from e2e.simulation.faults import Plan
from e2e.simulation.kafka.link import Weather
from e2e.simulation.trial import Result, plan_of, run

_MOST_RUNS = 200


def shrink(seed: int) -> tuple[Plan, Result]:
    """Return as few faults as can be found that still break a promise, and what came of them."""
    plan = plan_of(seed)
    result = run(seed, plan)
    runs = 1
    fine = replace(plan, weather=Weather())
    if (found := run(seed, fine)).violations:
        plan, result = fine, found
    parts = 2
    while plan.strikes and parts <= len(plan.strikes) and runs < _MOST_RUNS:
        size = -(-len(plan.strikes) // parts)
        for begin in range(0, len(plan.strikes), size):
            fewer = replace(plan, strikes=[*plan.strikes[:begin], *plan.strikes[begin + size :]])
            found, runs = run(seed, fewer), runs + 1
            if found.violations:
                plan, result, parts = fewer, found, max(2, parts - 1)
                break
        else:
            parts = len(plan.strikes) if parts < len(plan.strikes) < 2 * parts else 2 * parts
    return plan, result
