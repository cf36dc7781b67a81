"""Spans in a file: found, bounded, sampled, and whatever happens to the file."""

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.observer.adapters.otlp import read_spans
from penstock.observer.adapters.span_file import Bounds, SpanFile
from penstock.observer.adapters.traces import NAME, FileTraces
from penstock.observer.domain.sampling import Sampling
from penstock.observer.ports import SpanRow
from services.observer.tests.stand import export, span

HOUR_MS = 3_600_000
BOUNDS = Bounds(24 * HOUR_MS, 200 << 20, Sampling())


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def open_traces(folder: Path, clock: Clock, bounds: Bounds = BOUNDS) -> AsyncIterator[FileTraces]:
    traces, stop = FileTraces(folder, bounds, clock), asyncio.Event()
    running = asyncio.create_task(traces.run(stop))
    try:
        yield traces
    finally:
        stop.set()
        await running


def rows(*spans: object) -> list[SpanRow]:
    return read_spans(export(*spans)).rows  # type: ignore[arg-type]


async def names(traces: FileTraces, request_id: str) -> list[list[str]]:
    found = await traces.of_request(request_id)
    return [[one.name for one in trace.spans] for trace in [*found.own, *found.linked]]


async def test_spans_are_found_by_their_request_in_the_order_of_their_start(
    tmp_path: Path, clock: Clock
) -> None:
    async with open_traces(tmp_path, clock) as traces:
        late = span(1, 2, parent=1, name="late", start_ms=2_000, tenant="acme", route="/x", events=["retry"])
        assert traces.add(rows(late))
        assert traces.add(rows(span(1, 1, name="early", start_ms=1_000, request_id="r1", tenant="acme")))
        assert traces.add(rows(span(2, 1, name="another", request_id="r2")))
        found = await traces.of_request("r1")
        assert await names(traces, "r1") == [["early", "late"]]
        assert (await traces.of_request("nobody's")).own == []
    second = found.own[0].spans[1]
    assert (found.own[0].trace_id, second.parent_id) == (f"{1:032x}", f"{1:016x}")
    assert (second.service, second.instance, second.tenant, second.kind) == (
        "gateway",
        "gateway",
        "acme",
        "internal",
    )
    assert (second.start_ns, second.end_ns) == (2_000_000_000, 2_010_000_000)
    assert second.attributes == {"penstock.tenant": "acme", "route": "/x"}
    assert [event.name for event in second.events] == ["retry"]


async def test_they_are_there_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    async with open_traces(tmp_path, clock) as traces:
        traces.add(rows(span(1, 1, request_id="r1")))
    async with open_traces(tmp_path, clock) as traces:
        assert await names(traces, "r1") == [["work"]]


async def test_a_span_that_comes_twice_is_kept_once(tmp_path: Path, clock: Clock) -> None:
    async with open_traces(tmp_path, clock) as traces:
        for _ in range(2):
            traces.add(rows(span(1, 1, request_id="r1"), span(1, 1, request_id="r1")))
            assert await names(traces, "r1") == [["work"]]


async def test_linked_traces_come_after_the_requests_own_in_both_directions(
    tmp_path: Path, clock: Clock
) -> None:
    async with open_traces(tmp_path, clock) as traces:
        one, two, three = ((n).to_bytes(16, "big") for n in (1, 2, 3))
        traces.add(rows(span(one, 1, name="first", request_id="r1", start_ms=1)))
        traces.add(rows(span(two, 1, name="replay", request_id="r1", start_ms=2, links=[one])))
        traces.add(rows(span(three, 1, name="asked again", request_id="r2", start_ms=3, links=[one])))
        found = await traces.of_request("r1")
        assert [[s.name for s in t.spans] for t in found.own] == [["first"], ["replay"]]
        assert [[s.name for s in t.spans] for t in found.linked] == [["asked again"]]
        assert [[s.name for s in t.spans] for t in (await traces.of_request("r2")).linked] == [["first"]]


async def test_prompts_and_answers_are_shown_to_nobody(tmp_path: Path, clock: Clock) -> None:
    content = {
        "gen_ai.input.messages": "secret",
        "gen_ai.output.messages": "secret",
        "gen_ai.system_instructions": "x",
    }
    async with open_traces(tmp_path, clock) as traces:
        traces.add(rows(span(1, 1, request_id="r1", **content)))
        [[one]] = [trace.spans for trace in (await traces.of_request("r1")).own]
    assert one.attributes == {"penstock.request.id": "r1"}


def test_the_oldest_traces_leave_when_room_is_short(tmp_path: Path) -> None:
    limit = 400_000
    file = SpanFile(tmp_path / NAME, Bounds(HOUR_MS, limit, Sampling()))
    for number in range(1, 301):
        file.write(rows(span(number, 1, request_id=f"r{number}", padding="x" * 4_000)), number)
        file.tidy(number)
        assert file.size <= limit
    kept = [number for number in range(1, 301) if file.of_request(f"r{number}")[0]]
    assert kept == list(range(kept[0], 301))
    assert 20 < len(kept) < 100
    file.close()
    assert (tmp_path / NAME).stat().st_size < 2 * limit


def test_what_is_too_old_leaves_whole(tmp_path: Path) -> None:
    file = SpanFile(tmp_path / NAME, BOUNDS)
    file.write(rows(span(1, 1, request_id="old", links=[b"\x09" * 16])), 0)
    file.write(rows(span(2, 1, request_id="young")), HOUR_MS)
    file.tidy(24 * HOUR_MS + 1)
    assert (file.of_request("old")[0], len(file.of_request("young")[0])) == ([], 1)
    file.close()
    database = sqlite3.connect(tmp_path / NAME)
    left = database.execute("SELECT (SELECT count(*) FROM spans), (SELECT count(*) FROM links)").fetchone()
    assert left == (1, 0)


def test_of_ordinary_traces_a_share_is_kept_and_of_others_all(tmp_path: Path) -> None:
    file = SpanFile(
        tmp_path / NAME, Bounds(24 * HOUR_MS, 200 << 20, Sampling(0.25, slow_ms=1_000, quiet_ms=5_000))
    )
    ids = [number * 7919 * (1 << 40) for number in range(1, 401)]  # spread over the part that is drawn from
    for number in ids:
        file.write(rows(span(number, 1, request_id=f"r{number}")), 0)
    file.write(rows(span(ids[0] + 1, 1, request_id="failed", error="x")), 0)
    file.write(rows(span(ids[0] + 2, 1, request_id="retried", events=["retry"])), 0)
    file.write(rows(span(ids[0] + 3, 1, request_id="slow", took_ms=1_000)), 0)
    file.tidy(4_000)
    assert all(file.of_request(f"r{number}")[0] for number in ids)  # nothing is decided yet
    for _ in range(2):
        file.tidy(5_001)
    kept = sum(bool(file.of_request(f"r{number}")[0]) for number in ids)
    assert 60 < kept < 140
    assert all(file.of_request(name)[0] for name in ("failed", "retried", "slow"))
    for _ in range(2):
        file.tidy(99_000)  # what was judged once stays
    assert sum(bool(file.of_request(f"r{number}")[0]) for number in ids) == kept
    file.close()


@pytest.mark.parametrize(("share", "kept"), [(0.0, False), (1.0, True)])
def test_all_or_nothing_is_kept(share: float, kept: bool) -> None:
    for last in (b"\x00" * 7, b"\x80" * 7, b"\xff" * 7):
        assert Sampling(share).keeps(b"\x01" * 9 + last, 0, noted=False) is kept


Harm = Callable[[Path], object]


def garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1_000)


def half(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def other_version(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=77")


def no_tables(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE spans")


@pytest.mark.parametrize("harm", [garbage, half, other_version, no_tables])
async def test_a_file_that_is_of_no_use_is_begun_anew(
    tmp_path: Path, clock: Clock, harm: Harm, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_traces(tmp_path, clock) as traces:
        for number in range(1, 50):
            traces.add(rows(span(number, 1, request_id=f"r{number}", padding="x" * 1_000)))
        assert await names(traces, "r1") == [["work"]]
    harm(tmp_path / NAME)
    async with open_traces(tmp_path, clock) as traces:
        traces.add(rows(span(99, 1, name="new", request_id="r99")))
        assert await names(traces, "r99") == [["new"]]
        assert await names(traces, "r1") == []
    assert "trace_file_begun_anew" in capsys.readouterr().out


async def test_a_file_that_breaks_while_it_is_open_is_begun_anew(tmp_path: Path, clock: Clock) -> None:
    async with open_traces(tmp_path, clock) as traces:
        traces.add(rows(span(1, 1, request_id="r1", padding="x" * 100_000)))
        assert await names(traces, "r1") == [["work"]]
        with sqlite3.connect(tmp_path / NAME) as other:
            other.execute("DROP TABLE requests")
        traces.add(rows(span(2, 1, request_id="r2")))
        assert await names(traces, "r2") == [["work"]]


async def test_a_lock_of_another_process_costs_no_trace(tmp_path: Path, clock: Clock) -> None:
    async with open_traces(tmp_path, clock) as traces:
        traces.add(rows(span(1, 1, request_id="r1")))
        assert await names(traces, "r1") == [["work"]]
        other = sqlite3.connect(tmp_path / NAME)
        other.execute("BEGIN IMMEDIATE")
        traces.add(rows(span(2, 1, request_id="r2")))
        assert await names(traces, "r2") == []
        other.close()
        assert await names(traces, "r1") == [["work"]]
        assert await names(traces, "r2") == [["work"]]


@pytest.fixture
def little_room() -> Iterator[None]:
    """Files of this process can grow to 400 kB, as if the disk were full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("little_room")
async def test_a_full_disk_costs_spans_and_nothing_else(tmp_path: Path, clock: Clock) -> None:
    async with open_traces(tmp_path, clock) as traces:
        for number in range(1, 31):
            traces.add(rows(span(number, 1, request_id=f"r{number}", padding="x" * 50_000)))
            await traces.of_request("")
        traces.add(rows(span(99, 1, request_id="last")))
        assert await names(traces, "last") == [["work"]]
        kept = [number for number in range(1, 31) if await names(traces, f"r{number}")]
        assert len(kept) < 30


async def test_without_a_folder_to_write_to_it_goes_on_and_tries_again(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "observer"
    folder.write_text("a file is in the way")
    async with open_traces(folder, clock) as traces:
        traces.add(rows(span(1, 1, request_id="r1")))
        assert await names(traces, "r1") == []
        folder.unlink()
        clock.now_ms += 6_000
        traces.add(rows(span(2, 1, request_id="r2")))
        assert await names(traces, "r2") == [["work"]]


async def test_what_waits_to_be_written_is_bounded(tmp_path: Path, clock: Clock) -> None:
    traces = FileTraces(tmp_path, BOUNDS, clock)
    some = rows(*(span(n, 1, padding="x" * 200_000) for n in range(1, 51)))
    taken = 0
    while traces.add(some):
        taken += 1
    assert taken == 3
    stop = asyncio.Event()
    stop.set()
    await traces.run(stop)
