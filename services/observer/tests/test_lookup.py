"""The records of one request, from the log."""

import asyncio
from collections import Counter

import pytest

from penstock.messages.chat import CancelRequested, TextGenerated
from penstock.messages.topics import CHAT_CANCELLATIONS, CHAT_GENERATED, CHAT_REQUESTS
from penstock.observer.domain.errors import ApiError
from penstock.observer.handler.lookup import AT_ONCE, MAX_RECORDS, WAITING, Lookup
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.clock import unix_ms
from penstock.streaming.ports import BrokerError, Reader
from services.observer.tests.stand import CONTENT, Console, Line, MemoryLog, asked, span


@pytest.fixture
def lookup(log: MemoryLog) -> Lookup:
    return Lookup(log)


async def test_all_records_of_a_request_in_the_order_of_their_time(line: Line, lookup: Lookup) -> None:
    await line.whole()
    request_id = await line.whole(pieces=3)
    await line.put(CHAT_CANCELLATIONS, CancelRequested(), request_id)
    await line.whole("globex")
    found = await lookup.find(request_id)
    assert Counter(record.topic for record in found.records) == {
        "chat.requests": 1,
        "chat.tokenized": 1,
        "chat.retrieved": 1,
        "chat.generated": 5,
        "chat.responses": 5,
        "chat.cancellations": 1,
        "usage.recorded": 1,
    }
    assert [record.time_ms for record in found.records] == sorted(record.time_ms for record in found.records)
    assert {record.headers["ce_subject"] for record in found.records} == {request_id}
    assert CONTENT not in repr(found)
    assert not found.cut
    assert found.request is not None
    assert (found.request.state, found.request.completion_tokens) == ("completed", 5)
    [question] = [record for record in found.records if record.topic == "chat.requests"]
    assert (question.partition, question.type) == (
        line.broker.partition_of(request_id.encode(), 8),
        "penstock.chat.requested.v1",
    )
    assert question.size > len(CONTENT)


async def test_a_request_that_runs_has_what_there_is_by_now(line: Line, lookup: Lookup) -> None:
    request_id = await line.asked()
    found = await lookup.find(request_id)
    assert [record.topic for record in found.records] == ["chat.requests"]
    assert found.request is not None
    assert found.request.state == "running"


@pytest.mark.parametrize("name", ["", "nonsense", "01a20e82-ddc0-7007-89b8-c33227e10006", "9" * 64])
async def test_of_no_request_there_is_nothing(lookup: Lookup, name: str) -> None:
    found = await lookup.find(name)
    assert (found.request, found.records, found.cut) == (None, [], False)


async def test_another_tenants_record_under_the_same_id_is_left_out(line: Line, lookup: Lookup) -> None:
    request_id = await line.asked("acme")
    await line.put(CHAT_REQUESTS, asked("psk-other"), request_id, "globex")
    await line.answered(request_id, "globex")
    found = await lookup.find(request_id)
    assert [record.headers["ce_tenant"] for record in found.records] == ["acme"]
    assert found.request is not None
    assert (found.request.tenant, found.request.state) == ("acme", "running")


async def test_of_a_long_answer_pieces_are_left_out_and_nothing_else(line: Line, lookup: Lookup) -> None:
    request_id = await line.asked()
    for number in range(MAX_RECORDS):
        await line.put(CHAT_GENERATED, TextGenerated(start=number, text="x"), request_id, epoch=1)
    await line.answered(request_id)
    found = await lookup.find(request_id)
    types = Counter(record.type for record in found.records)
    assert found.cut
    assert len(found.records) <= MAX_RECORDS
    assert types["penstock.generation.finished.v1"] == types["penstock.usage.recorded.v1"] == 1
    assert types["penstock.generation.text.v1"] > MAX_RECORDS // 2


async def test_a_dead_letter_and_its_replay_are_records_of_the_request(console: Console, line: Line) -> None:
    created = unix_ms() - 400_000
    request_id = line.new_id(created)
    line.broker.now_ms = lambda: created + 1
    await line.asked(request_id=request_id)
    await line.bury(request_id)
    await line.failed(request_id)
    line.broker.now_ms = lambda: created + 300_000
    await line.asked(request_id=request_id)
    await line.answered(request_id)
    first, again = (
        span(n, 1, request_id=request_id, tenant="acme", start_ms=created + at)
        for n, at in ((1, 0), (2, 300_000))
    )
    await console.spans(first)
    await console.spans(again)
    body = (await console.get(f"requests/{request_id}", "acme")).json()
    topics = Counter(record["topic"] for record in body["records"])
    assert (topics["chat.requests"], topics["chat.requests.dlq"], topics["chat.tokenized"]) == (2, 1, 1)
    assert len(body["traces"]) == 2
    assert (body["request"]["state"], body["records_cut"]) == ("failed", False)  # the first end counts


async def test_without_kafka_the_traces_are_shown_alone(console: Console, line: Line, log: MemoryLog) -> None:
    request_id = line.new_id()
    await console.spans(
        span(1, 1, request_id=request_id, tenant="acme", **{"gen_ai.request.model": "m"}),
    )
    log.away = BrokerError("gone")
    body = (await console.get(f"requests/{request_id}", "acme")).json()
    assert (body["records"], body["records_cut"], len(body["traces"])) == ([], True, 1)
    assert (body["request"]["state"], body["request"]["model"], body["request"]["tenant"]) == (
        "running",
        "m",
        "acme",
    )
    assert (await console.get(f"requests/{request_id}", "globex")).status_code == 404


class _Slow(MemoryLog):
    """Its readers take their time."""

    async def reader(self, ahead: int | None = None) -> Reader:
        reader = await super().reader(ahead)
        poll = reader.poll

        async def slow(wait: float) -> object:
            await asyncio.sleep(60)
            return await poll(wait)

        reader.poll = slow  # type: ignore[method-assign,assignment]
        return reader


async def test_a_slow_log_cuts_the_records_off(broker: MemoryBroker) -> None:
    line = Line(broker)
    request_id = await line.whole()
    async with asyncio.timeout(20):
        found = await Lookup(_Slow(broker)).find(request_id)
    assert found.cut


async def test_more_than_a_few_looks_at_once_are_refused(broker: MemoryBroker) -> None:
    request_id = await Line(broker).whole()
    lookup = Lookup(_Slow(broker))
    looks = [asyncio.create_task(lookup.find(request_id)) for _ in range(WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError, match="503"):
        await lookup.find(request_id)
    for look in looks[AT_ONCE:]:
        look.cancel()
    await asyncio.gather(*looks, return_exceptions=True)
    assert isinstance(await Lookup(MemoryLog(broker)).find(request_id), object)
