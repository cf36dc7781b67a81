"""The story of one seed: faults, clients and the log of the requests that were wronged, in order of time."""

from __future__ import annotations

from collections.abc import Iterator

from e2e.faults.logbook import Entry, Owners
from e2e.faults.seen import Seen
from e2e.simulation.trial import Result
from e2e.simulation.world import EPOCH_MS
from penstock.messages.chat import AnswerText, EpochStarted, RequestFailed, TextGenerated

_EPOCH_S = EPOCH_MS / 1000


def lines(result: Result) -> Iterator[str]:
    """Yield one line for each thing that happened; times are seconds of the world."""
    told = "\n".join(f"{one.request} {one.found}" for one in result.violations)
    wronged = [one for one in result.seen if one.ask.key in told or (one.request_id or "-") in told]
    names = {one.request_id: one.ask.key for one in wronged if one.request_id}
    happened = [*result.story, *_log(result.entries, names)]
    for one in wronged:
        happened += _client(one)
    for at, who, what in sorted(happened):
        yield f"{at:9.3f} s  {who}: {what}"


def _log(entries: list[Entry], names: dict[str, str]) -> Iterator[tuple[float, str, str]]:
    """Yield the records of some requests, and the markers of the partitions in which they were answered."""
    owners = Owners()
    partitions = {e.partition for e in entries if e.topic == "chat.generated" and e.request_id in names}
    for entry in entries:
        counts = entry.topic != "chat.generated" or owners.admit(entry)
        marks = isinstance(entry.event, EpochStarted) and entry.partition in partitions
        if entry.request_id in names or marks:
            where = f"{entry.topic}/{entry.partition} at {entry.offset}"
            ignored = "" if counts else ", which nobody counts: a later owner has begun"
            yield entry.moment - _EPOCH_S, where, f"{_said(entry, names)}{ignored}"


def _said(entry: Entry, names: dict[str, str]) -> str:
    event, of = entry.event, names.get(entry.request_id, "")
    match event:
        case EpochStarted():
            return f"{event.instance} begins epoch {entry.epoch}"
        case TextGenerated() | AnswerText():
            what = f"text from {event.start} to {event.start + len(event.text)}"
        case RequestFailed():
            what = f"failed: {event.code} ({event.stage})"
        case _:
            what = type(event).__name__
    return f"{of}: {what}" + (f", epoch {entry.epoch}" if entry.epoch else "")


def _client(seen: Seen) -> Iterator[tuple[float, str, str]]:
    """Yield what a client did and saw."""
    who = f"client of {seen.ask.key}"
    yield seen.asked - _EPOCH_S, who, f"asks ({seen.ask.kind.value})"
    if seen.acknowledged is not None:
        yield seen.acknowledged - _EPOCH_S, who, f"accepted as {seen.request_id}"
    for piece in seen.pieces:
        yield piece.moment - _EPOCH_S, who, f"reads {len(piece.text)} characters, up to {piece.event}"
    if seen.end is not None:
        met = f"; met {', '.join(seen.troubles)}" if seen.troubles else ""
        why = seen.end.code or seen.end.finish_reason or ""
        yield seen.end.moment - _EPOCH_S, who, f"{seen.end.state} {why}{met}"
