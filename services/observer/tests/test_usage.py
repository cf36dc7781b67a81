"""Usage by the hour, from the ledger in the log."""

from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from penstock.messages.chat import UsageRecorded
from penstock.messages.topics import USAGE_RECORDED
from penstock.observer.adapters.ledger import NAME, FileLedger
from penstock.observer.domain.usage import DAY_MS, HOUR_MS, KEPT_MS, Amount, Cell, Sums, Used
from penstock.observer.domain.viewer import Viewer
from penstock.observer.ports import Kept
from penstock.observer.settings import Settings
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.clock import unix_ms
from penstock.streaming.ports import Partition
from services.observer.tests.stand import USAGE, Console, Line, MemoryLog, serving, until

EVERYONE = Viewer("", operator=True)


def used(request_id: str, at_ms: int = 0, tenant: str = "acme", model: str = "m") -> Used:
    return Used(request_id, tenant, model, at_ms, 7, 5)


async def points(console: Console, tenant: str = "", /, **parameters: Any) -> list[tuple[Any, ...]]:
    body = (await console.get("usage", tenant, **parameters)).json()
    keys = ("tenant", "model", "api_key", "requests", "prompt_tokens", "completion_tokens")
    return [tuple(point[key] for key in keys) for point in body["points"]]


async def summed(console: Console, requests: int) -> list[tuple[Any, ...]]:
    async def enough() -> list[tuple[Any, ...]]:
        found = await points(console)
        return found if sum(point[3] for point in found) == requests else []

    return await until(enough)


async def test_usage_is_summed_by_tenant_model_and_key(
    log: MemoryLog, line: Line, settings: Settings
) -> None:
    await line.whole("acme", "psk-one")
    await line.whole("acme", "psk-one")
    await line.whole("acme", "psk-two")
    await line.whole("globex", "psk-three")
    lost = line.new_id()  # nobody knows by which key it was asked
    await line.put(USAGE_RECORDED, UsageRecorded(request_id=lost, model="m", usage=USAGE), lost)
    async with serving(log, settings) as console:
        assert await summed(console, 5) == [
            ("acme", "m", "", 1, 7, 5),
            ("acme", "m", "psk-one", 2, 14, 10),
            ("acme", "m", "psk-two", 1, 7, 5),
            ("globex", "m", "psk-three", 1, 7, 5),
        ]
        assert await points(console, "globex") == [("globex", "m", "psk-three", 1, 7, 5)]
        assert await points(console, "nobody") == []
        assert await points(console, tenant="globex") == await points(console, "globex")


async def test_a_restart_counts_nothing_twice_and_forgets_nothing(
    log: MemoryLog, line: Line, settings: Settings
) -> None:
    await line.whole("acme", "psk-one")
    async with serving(log, settings) as console:
        await summed(console, 1)
    await line.whole("acme", "psk-two")
    async with serving(log, settings) as console:
        assert await summed(console, 2) == [
            ("acme", "m", "psk-one", 1, 7, 5),
            ("acme", "m", "psk-two", 1, 7, 5),
        ]


async def test_sums_that_cannot_be_read_are_worked_out_again(
    log: MemoryLog, line: Line, settings: Settings
) -> None:
    await line.whole("acme", "psk-one")
    async with serving(log, settings) as console:
        await summed(console, 1)
    (settings.folder / NAME).write_bytes(b'{"version": 1, "positions": [["usage')
    async with serving(log, settings) as console:
        assert await summed(console, 1) == [("acme", "m", "psk-one", 1, 7, 5)]


async def test_records_that_are_no_usage_stop_nothing(log: MemoryLog, line: Line, settings: Settings) -> None:
    for value in (b"{", None, b"{}", b"[" * 100_000):
        await line.broker.producer().send("usage.recorded", b"acme", value, [("ce_type", b"x")])
        await line.broker.producer().send("chat.requests", b"k", value, [("ce_type", b"x")])
    await line.whole()
    async with serving(log, settings) as console:
        assert len(await summed(console, 1)) == 1


async def test_kept_sums_come_back_as_they_were(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path / "new folder")
    assert await ledger.load() is None
    kept = Kept({Partition("usage.recorded", 2): 17}, {Cell(3_600_000, "acme", "m", ""): Amount(1, 2, 3)})
    await ledger.save(kept)
    assert await ledger.load() == kept
    (tmp_path / "file").touch()
    await FileLedger(tmp_path / "file").save(kept)  # there is no such folder: told in the log


events = st.lists(st.tuples(st.sampled_from(["used", "key"]), st.integers(0, 5)), max_size=30)


@hypothesis.settings(deadline=None)
@given(events)
def test_each_request_counts_once_under_its_key_in_whatever_order_it_is_told(
    told: list[tuple[str, int]],
) -> None:
    sums = Sums()
    for kind, number in told:
        if kind == "used":
            sums.used(used(f"r{number}"))
        else:
            sums.key_of("acme", f"r{number}", f"k{number}")
    count = {number for kind, number in told if kind == "used"}
    keyed = {number for kind, number in told if kind == "key"}
    expected = {f"k{n}" if n in keyed else "": 0 for n in count}
    for number in count:
        expected[f"k{number}" if number in keyed else ""] += 1
    assert {cell.api_key: amount.requests for cell, amount in sums.cells.items()} == expected


def test_what_is_remembered_is_bounded() -> None:
    sums = Sums(remembered=3)
    for number in range(10):
        sums.key_of("acme", f"r{number}", "k")
    for number in range(10):
        sums.used(used(f"r{number}"))
    assert {cell.api_key: amount.requests for cell, amount in sums.cells.items()} == {"": 7, "k": 3}


def test_days_are_sums_of_hours_and_buckets_that_touch_the_time_are_whole() -> None:
    sums = Sums()
    for number, at in enumerate((DAY_MS, DAY_MS + HOUR_MS, DAY_MS + 23 * HOUR_MS, 2 * DAY_MS)):
        sums.used(used(f"r{number}", at + 5))
    hours = sums.points(EVERYONE, DAY_MS + HOUR_MS + 1, 2 * DAY_MS, HOUR_MS)
    assert [cell.at_ms for cell, _ in hours] == [DAY_MS + HOUR_MS, DAY_MS + 23 * HOUR_MS]
    days = sums.points(EVERYONE, DAY_MS + HOUR_MS, 2 * DAY_MS + 1, DAY_MS)
    assert [(cell.at_ms, amount.requests) for cell, amount in days] == [(DAY_MS, 3), (2 * DAY_MS, 1)]


def test_old_sums_are_forgotten() -> None:
    sums = Sums()
    now = unix_ms()
    sums.used(used("old", now - KEPT_MS - HOUR_MS))
    sums.used(used("new", now))
    sums.forget(now)
    assert [amount.requests for amount in sums.cells.values()] == [1]


async def test_usage_is_saved_when_the_process_ends(
    log: MemoryLog, broker: MemoryBroker, settings: Settings
) -> None:
    line = Line(broker)
    async with serving(log, settings) as console:
        await line.whole()
        await summed(console, 1)
    assert (settings.folder / NAME).exists()
