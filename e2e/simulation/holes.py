"""Holes that the line had, or would have if one of its conditions were left out: each put back is found.

``with hole("the group is not asked"): run(seed)`` changes this process until the block ends. `FOUND_WITHIN`
says within how many seeds, from 0 on, a hole is found; a test holds the quick ones to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import Mock, patch

from e2e.faults.broken import add_all, admit_all
from penstock.gateway.request_intake import RequestIntake
from penstock.messages.reading import Fence, Splice
from penstock.messages.topics import CHAT_RESPONSES
from penstock.streaming.each import EachProcessor
from penstock.streaming.fold import FoldProcessor
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import Partition
from penstock.streaming.runner import Runner
from penstock.streaming.takeover import Claim, Takeover
from penstock.streaming.watermark import Watermark
from penstock.tokenization import main as tokenization

Put = tuple[Any, str, Callable[..., object]]
"""Where something is replaced, and by what."""


def _done_at_once(offsets: Offsets, partition: Partition, offset: int, *_: object) -> Callable[[], None]:
    mark = offsets._marks[partition]
    mark.add(offset)
    mark.done(offset)
    return lambda: None


def _last_done(mark: Watermark, offset: int) -> None:
    """Commit behind whatever is done, also if something before it is not."""
    mark._open.pop(offset, None)
    mark.committable, mark.oldest = max(mark.committable, offset + 1), None


async def _always(*_: object) -> bool:
    return True


async def _nothing(*_: object) -> None:
    return


_claim = Takeover._claim


async def _forgetting(self: Takeover, notes: Mapping[Partition, str]) -> dict[Partition, Claim]:
    claims = await _claim(self, notes)
    return {partition: replace(claim, subjects={}) for partition, claim in claims.items()}


async def _unconfirmed(self: Takeover, notes: Mapping[Partition, str]) -> dict[Partition, Claim]:
    """Write the first marker without asking the group, and only then ask it."""
    confirm, unasked = self._confirm, set(notes)

    async def later(source: Partition) -> bool:
        if source not in unasked:
            return await confirm(source)
        unasked.discard(source)
        return True

    self._confirm = later
    try:
        return await _claim(self, notes)
    finally:
        self._confirm = confirm


_emit_all = EachProcessor._emit_all


async def _ends_again(self: EachProcessor, work: Any, span: Any, _: Any) -> None:
    """Let the deadline count also when the end has been written."""
    await _emit_all(self, work, span, Mock())


_stage = tokenization.stage


def _ends_itself(*arguments: Any) -> Any:
    """Let tokenization tell clients itself that a request has failed, beside whoever answers it."""
    return replace(_stage(*arguments), failures=CHAT_RESPONSES)


def _by_the_clock(self: FoldProcessor, partition: Partition, _: int) -> None:
    self._log_ms[partition] = self._outbox._clock_ms()


HOLES: dict[str, Put] = {
    "records of replaced owners count": (Fence, "admits", admit_all),
    "what is there already is added again": (Splice, "add", add_all),
    "done as soon as it is read": (Offsets, "add", _done_at_once),
    "commits behind the last that is done": (Watermark, "done", _last_done),
    "the group is not asked": (Runner, "_confirm", _always),
    "the first marker is not confirmed": (Takeover, "_claim", _unconfirmed),
    "the journal is not read": (Takeover, "_claim", _forgetting),
    "an end that is written is not enough": (EachProcessor, "_emit_all", _ends_again),
    "those that wait have no end": (EachProcessor, "_sweep", lambda _: None),
    "deadlines by the clock": (FoldProcessor, "_read", _by_the_clock),
    "two stages end a request": (tokenization, "stage", _ends_itself),
    "a claimed key is not written": (RequestIntake, "_ensure_asked", _nothing),
}
FOUND_WITHIN = {
    "records of replaced owners count": 30,
    "what is there already is added again": 5,
    "done as soon as it is read": 1,
    "commits behind the last that is done": 1,
    "the group is not asked": 60,
    "the journal is not read": 21,
    "an end that is written is not enough": 21,
    "a claimed key is not written": 171,
}
"""By hole, how many seeds find it."""


@contextmanager
def hole(name: str) -> Iterator[None]:
    """Put a hole back until the block ends."""
    owner, attribute, function = HOLES[name]
    with patch.object(owner, attribute, function):
        yield
