"""What must hold in a world besides the fault suite's promises (e2e.faults.invariants).

A check is a function of the stack as it stands at the end, and of the log. To add one, add it to `CHECKS`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TypeAlias

from e2e.faults.invariants import Violation
from e2e.faults.logbook import Logbook, Owners
from e2e.simulation.stack import Stack
from penstock.messages.chat import EpochStarted, GenerationFinished
from penstock.messages.event import Event
from penstock.streaming.adapters.sending import MAX_PENDING_BYTES
from penstock.streaming.ports import Partition

Check: TypeAlias = Callable[[Stack, Logbook], Iterator[Violation]]
_LATE_S = 10.0
"""So long after its deadline a request is ended at the latest, when nothing goes wrong."""
_MOST_TASKS = 30
"""So many tasks a process has at most when nothing is asked any more; generation has 13."""


def one_owner(stack: Stack, log: Logbook) -> Iterator[Violation]:
    """O: what counts in a partition of chat.generated was written by whose marker counts."""
    owners, first = Owners(), dict[tuple[int, int], int]()
    for entry in log.of("chat.generated"):
        if not owners.admit(entry):
            continue
        at = (entry.partition, entry.epoch)
        writer = stack.cluster.logs[Partition(entry.topic, entry.partition)].writers[entry.offset]
        if isinstance(entry.event, EpochStarted):
            first.setdefault(at, writer)
        elif first.get(at) != writer:
            said = f"two processes wrote under epoch {entry.epoch} of {entry.topic}/{entry.partition}"
            yield Violation("O", "doubled", entry.request_id, said)


def same_end(stack: Stack, log: Logbook) -> Iterator[Violation]:
    """S: a request has one end, and it is the one of chat.generated, if that came by its deadline.

    A process that slept while topics grew may write another one when it wakes (ADR 16), which nobody counts.
    What was in time is not known where the brokers' clock was set.
    """
    deadlines = {request_id: entry.deadline for request_id, entry in log.questions().items()}
    ends: dict[str, set[str]] = defaultdict(set)
    for entry in log.of("chat.responses"):
        if entry.event.TERMINAL:
            told = ends[entry.request_id]
            if not (told and stack.has_grown):
                told.add(_name(entry.event))
    for request_id, answer in log.generated().items():
        if len(ends[request_id]) > 1:
            yield Violation("S", "doubled", request_id, f"clients were told {sorted(ends[request_id])}")
        elif answer.terminal is not None and answer.ended is not None and not stack.broker_ahead_ms:
            completed = isinstance(answer.terminal, GenerationFinished)
            expected = "answer.completed" if completed else _name(answer.terminal)
            if answer.ended <= deadlines.get(request_id, 0.0) and ends[request_id] - {expected}:
                said = f"it ended as {expected} in time, and clients were told {sorted(ends[request_id])}"
                yield Violation("S", "wrong", request_id, said)


def _name(event: Event) -> str:
    return event.TYPE.removeprefix("penstock.").removesuffix(".v1")


def in_time(stack: Stack, log: Logbook) -> Iterator[Violation]:
    """T: a request has its end soon after its deadline, or after the last fault if that is later."""
    visible = log.visible()
    for request_id, entry in log.questions().items():
        answer = visible.get(request_id)
        due = max(entry.deadline, stack.calm_ms / 1000) + _LATE_S
        if answer is not None and answer.ended is not None and answer.ended > due:
            late = answer.ended - due + _LATE_S
            yield Violation("T", "lost", request_id, f"its end came {late:.1f} s late")


def bounded(stack: Stack, _: Logbook) -> Iterator[Violation]:
    """M: no process holds more than its share, and none keeps tasks of requests that have ended."""
    for name, most in sorted(stack.most_pending.items()):
        if most > MAX_PENDING_BYTES:
            yield Violation("M", "flood", "", f"{name} had {most} bytes that were not acknowledged")
    for name, process in stack.processes.items():
        if process.alive and (count := process.tasks) > _MOST_TASKS:
            yield Violation("M", "flood", "", f"{name} still has {count} tasks")


def no_failure(stack: Stack, _: Logbook) -> Iterator[Violation]:
    """E: no task of a process ends with an error that nobody takes."""
    for process in stack.world.processes:
        for failure in process.failures:
            yield Violation("E", "lost", "", f"{process.name}: {failure}")


CHECKS: tuple[Check, ...] = (one_owner, same_end, in_time, bounded, no_failure)
