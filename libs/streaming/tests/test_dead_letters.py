"""Dead letters over a broker in memory; the commands of devstack try them over real Kafka."""

import re
from collections.abc import Mapping

import pytest

from penstock.messages.chat import ChatRequested, Message, Sampling
from penstock.messages.codec import encode
from penstock.messages.envelope import Envelope, to_headers
from penstock.messages.topics import CHAT_REQUESTS, CHAT_RESPONSES, DOCUMENTS_CHUNKED, Topic
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.admin.dead_letters import Choice, DeadLetters, topic_named
from penstock.streaming.ports import BrokerError, Partition, Producer
from penstock.streaming.records import decode

NOW_MS = 1_800_000_000_000
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
QUESTION = ChatRequested(
    model="m", messages=(Message(role="user", content="a secret question"),), sampling=Sampling()
)


async def bury(
    producer: Producer,
    topic: Topic = CHAT_REQUESTS,
    *,
    body: bytes | None = None,
    subject: str = "r1",
    tenant: str = "acme",
    error: str = "invalid_event: no JSON",
    time_ms: int = NOW_MS - 60_000,
    deadline_ms: int = NOW_MS - 1,
    partition: int = 3,
) -> None:
    envelope = Envelope(
        id="e1",
        type=ChatRequested.TYPE,
        source="/t",
        time_ms=time_ms,
        subject=subject,
        tenant=tenant,
        deadline_ms=deadline_ms,
        traceparent=TRACE,
    )
    headers = [
        *to_headers(envelope),
        ("dlq_topic", topic.name.encode()),
        ("dlq_partition", b"%d" % partition),
        ("dlq_offset", b"88"),
        ("dlq_stage", b"tokenization"),
        ("dlq_error", error.encode()),
        ("dlq_time_ms", b"%d" % time_ms),
    ]
    value = encode(QUESTION) if body is None else body
    await producer.send(topic.dlq, subject.encode(), value, headers, 0)


class Trimmer:
    def __init__(self) -> None:
        self.cuts: dict[Partition, int] = {}

    async def __call__(self, cuts: Mapping[Partition, int]) -> None:
        self.cuts |= cuts


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def trimmer() -> Trimmer:
    return Trimmer()


@pytest.fixture
def dead(broker: MemoryBroker, trimmer: Trimmer) -> DeadLetters:
    return DeadLetters(broker.reader(), broker.producer(), trimmer, lambda: NOW_MS)


async def test_a_replayed_letter_is_the_record_it_was_with_a_new_trace_and_a_fresh_deadline(
    broker: MemoryBroker, dead: DeadLetters
) -> None:
    await bury(broker.producer())
    [letter] = await dead.list_all()
    [outcome] = [outcome async for outcome in dead.replay([letter])]
    assert (outcome.refused, outcome.offset) == ("", 0)
    [record] = broker.log(CHAT_REQUESTS.name)
    assert (record.partition.number, record.key, record.value) == (3, b"r1", encode(QUESTION))
    headers = {name: (value or b"").decode() for name, value in record.headers}
    assert headers["dlq_replayed_from"] == "chat.requests.dlq/0"
    assert [name for name in headers if name.startswith("dlq_")] == ["dlq_replayed_from"]
    assert headers["tracelink"] == TRACE
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", headers["traceparent"])
    assert headers["traceparent"] != TRACE
    received = decode(record, CHAT_REQUESTS)
    assert received.event == QUESTION
    assert received.envelope.deadline_ms == NOW_MS + 120_000
    assert (received.envelope.subject, received.envelope.id) == ("r1", "e1")


async def test_a_deadline_that_is_not_over_stays(broker: MemoryBroker, dead: DeadLetters) -> None:
    await bury(broker.producer(), deadline_ms=NOW_MS + 5)
    await bury(broker.producer(), deadline_ms=0)
    _ = [outcome async for outcome in dead.replay(await dead.list_all())]
    deadlines = [decode(r, CHAT_REQUESTS).envelope.deadline_ms for r in broker.log(CHAT_REQUESTS.name)]
    assert deadlines == [NOW_MS + 5, 0]


async def test_what_is_done_is_left_out_and_never_sent_twice(broker: MemoryBroker, dead: DeadLetters) -> None:
    for subject in ("a", "b", "c"):
        await bury(broker.producer(), subject=subject)
    letters = Choice().of(await dead.list_all())
    _ = [outcome async for outcome in dead.replay(letters[1:2])]
    await dead.drop(letters[2:])
    assert [letter.request_id for letter in Choice().of(await dead.list_all())] == ["a"]
    states = {letter.request_id: letter.state for letter in Choice(done_too=True).of(await dead.list_all())}
    assert states == {"a": "", "b": "replayed", "c": "dropped"}
    assert [record.key for record in broker.log(CHAT_REQUESTS.name)] == [b"b"]


async def test_a_record_that_is_no_event_is_refused_unless_forced(
    broker: MemoryBroker, dead: DeadLetters
) -> None:
    await bury(broker.producer(), body=b"{}")
    letters = await dead.list_all()
    [refused] = [outcome async for outcome in dead.replay(letters)]
    assert "missing required field `model`" in refused.refused
    assert broker.log(CHAT_REQUESTS.name) == []
    assert Choice().of(await dead.list_all()) == letters
    [forced] = [outcome async for outcome in dead.replay(letters, force=True)]
    assert forced.offset == 0
    assert [record.value for record in broker.log(CHAT_REQUESTS.name)] == [b"{}"]


async def test_a_letter_without_its_body_is_refused_even_if_forced(
    broker: MemoryBroker, dead: DeadLetters
) -> None:
    headers = [("dlq_topic", b"chat.requests"), ("dlq_body", b"left out: too large")]
    await broker.producer().send(CHAT_REQUESTS.dlq, b"k", None, headers, 0)
    [outcome] = [outcome async for outcome in dead.replay(await dead.list_all(), force=True)]
    assert outcome.refused == "its body was too large to be kept"


async def test_a_compacted_topic_takes_no_letter_without_a_key(
    broker: MemoryBroker, dead: DeadLetters
) -> None:
    await broker.producer().send(DOCUMENTS_CHUNKED.dlq, None, b"x", [("dlq_error", b"no JSON")], 0)
    [outcome] = [outcome async for outcome in dead.replay(await dead.list_all(), force=True)]
    assert "without a key" in outcome.refused
    assert broker.log(DOCUMENTS_CHUNKED.name) == []


async def test_a_dry_run_changes_nothing(broker: MemoryBroker, dead: DeadLetters) -> None:
    await bury(broker.producer())
    await bury(broker.producer(), body=b"x")
    outcomes = [outcome async for outcome in dead.replay(await dead.list_all(), dry_run=True)]
    assert [bool(outcome.refused) for outcome in outcomes] == [False, True]
    assert broker.log(CHAT_REQUESTS.name) == []
    assert len(broker.log(CHAT_REQUESTS.dlq)) == 2


async def test_a_failed_send_leaves_the_letter_unmarked(broker: MemoryBroker, dead: DeadLetters) -> None:
    await bury(broker.producer())
    letters = await dead.list_all()
    broker.failing = BrokerError("gone")
    with pytest.raises(BrokerError):
        _ = [outcome async for outcome in dead.replay(letters)]
    broker.failing = None
    assert Choice().of(await dead.list_all()) == letters


async def test_the_prefix_that_is_done_is_deleted_and_no_more(
    broker: MemoryBroker, dead: DeadLetters, trimmer: Trimmer
) -> None:
    for subject in ("a", "b", "c"):
        await bury(broker.producer(), subject=subject)
    letters = Choice().of(await dead.list_all())
    await dead.drop(letters[1:2])
    assert await dead.trim([CHAT_REQUESTS]) == 0
    assert trimmer.cuts == {}
    await dead.drop(letters[:1])
    assert await dead.trim([CHAT_REQUESTS, CHAT_RESPONSES]) == 2
    assert trimmer.cuts == {Partition(CHAT_REQUESTS.dlq, 0): 2}
    await dead.drop(letters[2:])
    assert await dead.trim([CHAT_REQUESTS]) == 3
    assert trimmer.cuts == {Partition(CHAT_REQUESTS.dlq, 0): 6}  # the markers, too


async def test_letters_are_chosen_by_topic_error_tenant_time_and_number(
    broker: MemoryBroker, dead: DeadLetters
) -> None:
    producer = broker.producer()
    await bury(producer, subject="old", time_ms=1_000)
    await bury(producer, subject="other", tenant="zeta", time_ms=2_000)
    await bury(producer, DOCUMENTS_CHUNKED, subject="doc", error="internal_error: boom", time_ms=3_000)
    letters = await dead.list_all()

    def chosen(choice: Choice) -> list[str]:
        return [letter.request_id for letter in choice.of(letters)]

    assert chosen(Choice()) == ["old", "other", "doc"]
    assert chosen(Choice(topic=DOCUMENTS_CHUNKED)) == ["doc"]
    assert chosen(Choice(error="BOOM")) == ["doc"]
    assert chosen(Choice(tenant="zeta")) == ["other"]
    assert chosen(Choice(since_ms=2_000, until_ms=3_000)) == ["other"]
    assert chosen(Choice(limit=2)) == ["old", "other"]


async def test_headers_that_are_no_numbers_stop_nothing(broker: MemoryBroker, dead: DeadLetters) -> None:
    headers = [("dlq_partition", b"999"), ("dlq_time_ms", b"soon"), ("ce_subject", b"\xff")]
    await broker.producer().send(CHAT_REQUESTS.dlq, None, b"", headers, 0)
    [letter] = await dead.list_all()
    assert letter.source_partition is None
    [outcome] = [outcome async for outcome in dead.replay([letter])]
    assert "ce_specversion is missing" in outcome.refused


def test_a_topic_goes_by_its_own_name_and_that_of_its_dead_letters() -> None:
    assert topic_named("chat.requests.dlq") is topic_named("chat.requests") is CHAT_REQUESTS
    assert topic_named("chat") is None
