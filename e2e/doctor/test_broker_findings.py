"""What `penstock doctor` finds in real brokers with something wrong in each: `make test-doctor`."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import kafka
import psutil
import pytest
from kafka.admin import ConfigResource

from e2e.doctor.faulty import Faulty, faulty_broker, running, second_node
from penstock.devstack.doctor import broker as broker_check
from penstock.devstack.doctor import clock, lag
from penstock.devstack.doctor.finding import Finding
from penstock.devstack.doctor.scene import Needs, Scene
from penstock.devstack.network import free_ports
from penstock.devstack.state import StackStatus, StateDir
from penstock.messages.topics import CHAT_GENERATED, CHAT_REQUESTS, CHAT_RETRIEVED, CHAT_TOKENIZED, TOPICS
from penstock.streaming.adapters.kafka import open_consumer, open_producer
from penstock.streaming.admin.dead_letters import DONE, DONE_OFFSET
from penstock.streaming.admin.topics import ensure_topics

OLD_RELEASE = "3.9"
SLOW = Needs(limit_s=60)


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Scene]]:
    """A stack whose Kafka is at these addresses, as the checks see it."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    async with httpx2.AsyncClient(trust_env=False) as client:

        def make(servers: str, *, ours: bool = False) -> Scene:
            nobody = "http://127.0.0.1:1"
            status = StackStatus(
                pid=os.getpid(),
                ready=True,
                kafka=servers,
                kafka_is_ours=ours,
                gateway=nobody,
                backends=f"tgi+{nobody}",
                embeddings=nobody,
            )
            state = StateDir(tmp_path / "state")
            return Scene(os.environ, tmp_path, state, status, client, _now_ms, SLOW)

        yield make


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def by_code(findings: Sequence[Finding]) -> dict[str, Finding]:
    assert len({one.code for one in findings}) == len(findings), findings
    return {one.code: one for one in findings}


# --- A broker in which much is wrong: an old version, a small disk, a second node that comes and goes.


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    with faulty_broker(tmp_path_factory.mktemp("faulty"), OLD_RELEASE) as broker:
        yield broker


@pytest.fixture
def admin(faulty: Faulty) -> Iterator[Any]:
    client = kafka.KafkaAdminClient(bootstrap_servers=faulty.servers)
    yield client
    client.close()


async def test_an_empty_cluster_of_an_old_version_on_a_small_disk(
    scene: Callable[..., Scene], faulty: Faulty, admin: Any
) -> None:
    at, standing = scene(faulty.servers), admin.list_topics()
    found = by_code(await broker_check.look(at))
    assert "works at metadata.version 21" in found["broker.version"].wrong
    assert "chat.cancellations" in found["topics.missing"].wrong
    if faulty.small:
        assert found["broker.disk"].severity == "error"
        assert str(faulty.broker.folder / "data") in found["broker.disk"].looked_at
    assert await lag.look(at) == []
    assert await lag.letters(at) == []
    assert admin.list_topics() == standing  # looking has made none, not even Kafka's own


async def test_topics_that_are_not_as_they_should_be(
    scene: Callable[..., Scene], faulty: Faulty, admin: Any
) -> None:
    admin.create_topics({CHAT_REQUESTS.name: {"num_partitions": 3}}, wait_for_metadata=True)
    found = by_code(await broker_check.look(scene(faulty.servers)))
    assert "chat.requests has 3, needs 8" in found["topics.partitions"].wrong
    assert found["topics.settings"].severity == "warning"
    assert (
        "chat.requests message.timestamp.type=CreateTime (not LogAppendTime)"
        in found["topics.settings"].wrong
    )


async def test_a_broker_whose_clock_is_behind(
    scene: Callable[..., Scene], faulty: Faulty, admin: Any
) -> None:
    """Whose clock it is, stamps do not say: here a topic takes those of a writer that lies."""
    admin.create_topics({CHAT_TOKENIZED.name: {"num_partitions": 1}}, wait_for_metadata=True)
    producer = kafka.KafkaProducer(bootstrap_servers=faulty.servers)

    async def keep_writing() -> None:
        while True:
            producer.send(CHAT_TOKENIZED.name, b"x", timestamp_ms=_now_ms() - 600_000)
            await asyncio.sleep(0.1)

    producer.send(CHAT_TOKENIZED.name, b"x", timestamp_ms=_now_ms() - 700_000).get(30)
    writing = asyncio.create_task(keep_writing())
    try:
        [finding] = await clock.look(scene(faulty.servers))
    finally:
        writing.cancel()
        producer.close()
    assert (finding.code, finding.severity) == ("clock.broker", "warning")
    assert "s behind this machine's" in finding.wrong


async def test_a_second_node_that_cannot_be_reached_and_then_is_gone(
    scene: Callable[..., Scene], faulty: Faulty, admin: Any, tmp_path: Path
) -> None:
    # So that the client has found the controller, and asks no other node for what comes.
    admin.create_topics({"any": {"num_partitions": 1}})
    second = second_node(faulty.broker, tmp_path)
    with running(second, "--no-initial-controllers") as process:
        found = by_code(await _look_until(scene(faulty.servers), "broker.address"))
        [dead] = [line for line in second.properties.read_text().splitlines() if "advertised" in line]
        assert f"Broker 2 sends clients to {dead.rpartition('//')[2]}" in found["broker.address"].wrong
        admin.create_topics(
            {
                CHAT_RETRIEVED.name: {"assignments": {0: [1, 2], 1: [1, 2]}},
                CHAT_GENERATED.name: {"assignments": {0: [2]}},
            },
            timeout_ms=60_000,
        )
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        found = by_code(await _look_until(scene(faulty.servers), "topics.offline"))
    assert "1 partition cannot be used" in found["topics.offline"].wrong
    assert "chat.generated/0" in found["topics.offline"].wrong
    assert "2 partitions with fewer copies" in found["topics.under-replicated"].wrong
    assert found["topics.under-replicated"].severity == "warning"
    await lag.look(scene(faulty.servers))  # what has a leader can still be looked at


async def _look_until(at: Scene, code: str) -> Sequence[Finding]:
    """What is found as soon as this is among it: a cluster notices some things only after a while."""
    async with asyncio.timeout(90):
        while True:
            found = await broker_check.look(at)
            if code in {one.code for one in found}:
                return found
            await asyncio.sleep(0.5)


# --- A broker as it should be, with groups and records that are not.


@pytest.fixture
async def sound(kafka_broker: str) -> str:
    await ensure_topics(kafka_broker, TOPICS, retention_hours=168)
    return kafka_broker


async def test_a_broker_in_which_nothing_is_wrong(scene: Callable[..., Scene], sound: str) -> None:
    assert await broker_check.look(scene(sound)) == []


async def test_nobody_answers_or_a_process_that_hangs(scene: Callable[..., Scene], sound: str) -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    [finding] = await broker_check.look(scene(nobody))
    assert (finding.code, finding.severity) == ("broker.unreachable", "error")
    assert await broker_check.addresses(scene(f"{nobody},{nobody}")) == []  # told once is enough
    [finding] = await broker_check.addresses(scene(f"{nobody},{sound}"))
    assert (finding.code, finding.severity) == ("broker.one-away", "warning")
    port = int(sound.rpartition(":")[2])
    [pid] = {one.pid for one in psutil.net_connections("tcp") if _listens(one, port)}
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        [finding] = await broker_check.look(scene(sound))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (finding.code, finding.severity) == ("broker.unreachable", "error")


def _listens(connection: Any, port: int) -> bool:
    return bool(connection.status == psutil.CONN_LISTEN and connection.laddr.port == port)


async def test_another_cluster_answers(
    scene: Callable[..., Scene], sound: str, faulty: Faulty, tmp_path: Path
) -> None:
    [finding] = await broker_check.addresses(scene(f"{sound},{faulty.servers}"))
    assert (finding.code, finding.severity) == ("broker.other-cluster", "error")
    assert faulty.servers in finding.looked_at
    data = tmp_path / "state" / "kafka" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("version=1\ncluster.id=of-the-data-here\n")
    [finding] = await broker_check.look(scene(sound, ours=True))
    assert (finding.code, finding.severity) == ("broker.other-cluster", "error")
    assert "of-the-data-here" in finding.wrong


async def test_a_session_timeout_that_the_broker_refuses(
    scene: Callable[..., Scene], sound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SESSION_TIMEOUT_MS", "500")
    [finding] = await broker_check.look(scene(sound))
    assert (finding.code, finding.severity) == ("broker.session-timeout", "error")
    assert "from 1000 to" in finding.wrong


async def test_records_that_nobody_reads_that_pile_up_and_that_lie(
    scene: Callable[..., Scene], sound: str
) -> None:
    producer = await open_producer(sound)
    members = [
        await open_consumer(sound, group, [topic.name], lambda _: None, 30_000)
        for group, topic in (("retrieval", CHAT_TOKENIZED), ("generation", CHAT_RETRIEVED))
    ]

    async def keep_writing() -> None:
        while True:
            await producer.send(CHAT_TOKENIZED.name, None, b"x", [])

    old = _with_old_record(sound, CHAT_RETRIEVED.name, 2 * 3600)
    writing = asyncio.create_task(keep_writing())
    polling = [asyncio.create_task(_poll(member)) for member in members]
    try:
        await producer.send(CHAT_REQUESTS.name, None, b"x", [])
        async with asyncio.timeout(60):
            while not all(member.joined for member in members):  # noqa: ASYNC110 they set no event
                await asyncio.sleep(0.1)
        found = await lag.look(scene(sound))
    finally:
        for task in (writing, *polling):
            task.cancel()
        await asyncio.gather(writing, *polling, return_exceptions=True)
        for member in members:
            await member.close()
        await producer.close()
        old()
    told = {one.looked_at: one for one in found}
    assert told["group tokenization"].code == "lag.nobody"
    assert told["group tokenization"].severity == "error"
    assert told["group retrieval"].code == "lag.growing"
    assert "waiting in chat.tokenized" in told["group retrieval"].wrong
    assert (told["group generation"].code, told["group generation"].severity) == ("lag.old", "error")
    assert "came over 60 min ago" in told["group generation"].wrong


async def _poll(member: Any) -> None:
    """Takes part in the group and does nothing with what it gets."""
    await member.pause()
    while True:
        await member.poll(0.2)


def _with_old_record(servers: str, topic: str, age_s: int) -> Callable[[], None]:
    """Writes a record that came so long ago; returns what brings the topic's settings back."""
    _stamped_by_writers(servers, topic, "CreateTime")
    producer = kafka.KafkaProducer(bootstrap_servers=servers)
    producer.send(topic, b"x", timestamp_ms=_now_ms() - age_s * 1000).get(30)
    producer.close()
    return lambda: _stamped_by_writers(servers, topic, "LogAppendTime")


def _stamped_by_writers(servers: str, topic: str, kind: str) -> None:
    admin = kafka.KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.alter_configs([ConfigResource("TOPIC", topic, {"message.timestamp.type": kind})])
    finally:
        admin.close()


async def test_a_broker_whose_clock_is_ahead(scene: Callable[..., Scene], sound: str) -> None:
    back = _with_old_record(sound, CHAT_GENERATED.name, -600)
    back()
    [finding] = await clock.look(scene(sound))
    assert (finding.code, finding.severity) == ("clock.broker", "warning")
    assert "ahead of this machine's" in finding.wrong


async def test_dead_letters_that_nobody_has_dealt_with(scene: Callable[..., Scene], sound: str) -> None:
    assert await lag.letters(scene(sound)) == []
    producer = await open_producer(sound)
    try:
        dropped = await producer.send(CHAT_REQUESTS.dlq, b"k", b"x", [("dlq_error", b"x")])
        marker = [(DONE, b"dropped"), (DONE_OFFSET, b"%d" % dropped)]
        await producer.send(CHAT_REQUESTS.dlq, b"k", None, marker)
        assert await lag.letters(scene(sound)) == []
        await producer.send(CHAT_REQUESTS.dlq, b"k", b"x", [("dlq_error", b"x")])
    finally:
        await producer.close()
    [finding] = await lag.letters(scene(sound))
    assert (finding.code, finding.severity) == ("letters.open", "warning")
    assert "1 dead letter nobody has dealt with: 1 of chat.requests" in finding.wrong
