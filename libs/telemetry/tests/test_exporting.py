"""Exports to places that fail and come back."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from opentelemetry.sdk.trace.export import SpanExportResult

from penstock.telemetry.exporting import PAUSE_SECONDS, AtExit, Watched


@dataclass
class Place:
    """Takes batches while it is up."""

    up: bool = True
    taken: list[int] = field(default_factory=list)

    def export(self, batch: Sequence[int]) -> SpanExportResult:
        if not self.up:
            return SpanExportResult.FAILURE
        self.taken += batch
        return SpanExportResult.SUCCESS


def test_a_place_is_told_of_when_it_begins_to_fail_and_when_it_works_again() -> None:
    now, place = [0.0], Place()
    exporter = Watched("http://there", lambda: place, lambda: now[0])
    with structlog.testing.capture_logs() as logs:
        exporter.export([1])
        place.up = False
        for number in range(2, 6):
            exporter.export([number])
            now[0] += PAUSE_SECONDS
        place.up = True
        exporter.export([6])
    assert [entry["event"] for entry in logs] == ["telemetry_not_exported", "telemetry_exported_again"]
    assert {entry["to"] for entry in logs} == {"http://there"}
    assert place.taken == [1, 6]


def test_a_place_that_has_failed_is_left_alone_for_a_while() -> None:
    now, place = [0.0], Place(up=False)
    exporter = Watched("http://there", lambda: place, lambda: now[0])
    exporter.export([1])
    place.up = True
    exporter.export([2])
    assert place.taken == []
    now[0] += PAUSE_SECONDS
    exporter.export([3])
    assert place.taken == [3]


def test_nothing_is_made_before_there_is_something_to_export() -> None:
    made: list[Place] = []

    def make() -> Place:
        made.append(Place())
        return made[-1]

    exporter = Watched("http://there", make)
    exporter.shutdown()
    assert made == []
    exporter.export([1])
    exporter.export([2])
    assert [place.taken for place in made] == [[1, 2]]


def test_the_end_waits_for_all_side_by_side() -> None:
    ended: list[str] = []
    at_exit = AtExit(seconds=30)
    at_exit.add(lambda: ended.append("one"))
    at_exit.add(lambda: ended.append("other"))
    assert ended == []
    at_exit.run()
    assert sorted(ended) == ["one", "other"]
