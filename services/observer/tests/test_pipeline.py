"""How far the pipeline is, and which stage holds the others back."""

from typing import Any

import pytest

from penstock.messages.topics import CHAT_REQUESTS, CHAT_TOKENIZED, TOPICS
from penstock.observer.domain.pipeline import ROLES, WAIT_MS, StageState, holding_back, waits_ms
from penstock.observer.domain.points import SILENT_MS, LastPoints, Point, Source
from penstock.observer.domain.survey import GROUPS
from penstock.observer.domain.telling import Telling
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.ports import BrokerError, Partition, Position
from penstock.telemetry import metric_catalog, names, stage_metric_catalog
from services.observer.tests.stand import Console, Line, MemoryLog, serving, until

ROLE = {role.name: role for role in ROLES}


def stage(name: str, **facts: Any) -> StageState:
    return StageState(ROLE[name], **({"replicas": 1} | facts))


def line_of(**facts: dict[str, Any]) -> list[StageState]:
    return [
        stage(name, **facts.get(name, {}))
        for name in ("tokenization", "retrieval", "generation", "postprocessing")
    ]


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({}, None),
        ({"generation": {"waiting": 50, "lag": 60, "rate": 5.0}}, "generation"),  # ten seconds of work
        ({"generation": {"waiting": 5, "lag": 15, "rate": 5.0}}, None),  # one second
        ({"generation": {"waiting": 0, "lag": 10, "rate": 0.1, "oldest_ms": 60_000}}, None),  # long answers
        ({"postprocessing": {"waiting": 0, "lag": 5_000, "rate": 0.0, "oldest_ms": 60_000}}, None),
        ({"generation": {"waiting": 3, "lag": 3, "rate": 0.0, "oldest_ms": 9_000}}, "generation"),  # stuck
        ({"generation": {"waiting": 3, "lag": 3, "rate": 0.0, "oldest_ms": 900}}, None),
        ({"generation": {"waiting": None, "lag": 100, "rate": 10.0}}, "generation"),  # it tells nothing
        # All is in work there, and takes too long: a model server that does not answer.
        ({"tokenization": {"waiting": 0, "lag": 18, "rate": 0.0, "oldest_ms": 5_910}}, "tokenization"),
        ({"tokenization": {"waiting": 9, "lag": 18, "rate": 1.0, "oldest_ms": 900}}, None),
        ({"retrieval": {"replicas": 0, "lag": 1}, "generation": {"waiting": 900, "rate": 1.0}}, "retrieval"),
        ({"retrieval": {"replicas": 0, "lag": 0}}, None),
        (
            {"generation": {"waiting": 50, "rate": 5.0}, "postprocessing": {"waiting": 900, "rate": 10.0}},
            "postprocessing",
        ),
    ],
)
def test_the_stage_that_holds_the_others_back(facts: dict[str, dict[str, Any]], name: str | None) -> None:
    assert holding_back(line_of(**facts)) == name


def test_documents_hold_no_answer_back() -> None:
    assert holding_back([stage("indexing", replicas=0, lag=9), stage("gateway", replicas=0, lag=9)]) is None


def test_a_wait_is_what_waits_at_the_rate_of_work() -> None:
    assert waits_ms(stage("generation", waiting=20, rate=10.0)) == WAIT_MS


class _Points:
    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.points = LastPoints(lambda: self.now_ms)

    def tell(
        self, name: str, value: float, service: str = "generation", instance: str = "g", **attributes: Any
    ) -> None:
        named = {getattr(names, key): told for key, told in attributes.items()}
        self.points.take([Point(Source(service, instance), name, named, value, self.now_ms)])


def test_what_processes_tell_is_put_together() -> None:
    told = _Points()
    for instance, used in (("g-1", 3), ("g-2", 2)):  # each counts as free what it does not use itself
        for port, whole in ((80, 8), (81, 4)):
            at = {"SERVER_ADDRESS": "h", "SERVER_PORT": port, "instance": instance}
            told.tell(metric_catalog.SLOTS.name, used, PENSTOCK_STATE="used", **at)
            told.tell(metric_catalog.SLOTS.name, whole - used, PENSTOCK_STATE="free", **at)
            told.tell(metric_catalog.BACKEND_UP.name, port == 80, **at)
    for instance, value in (("t-1", 4), ("t-2", 5)):
        told.tell(
            stage_metric_catalog.LAG.name, value, "tokenization", instance, MESSAGING_GROUP="tokenization"
        )
        told.tell(metric_catalog.READY.name, instance == "t-1", "tokenization", instance)
    told.tell(metric_catalog.JOBS.name, 3, "ingestion", PENSTOCK_STATE="queued")
    telling = Telling(told.points)
    assert [backend[:3] + backend[4:] for backend in telling.backends()] == [
        ("h:80", 5, 3, True),
        ("h:81", 5, 0, False),
    ]
    assert telling.slots() == (10, 3)
    assert (telling.waiting("tokenization"), telling.waiting("retrieval")) == (9, None)
    assert (telling.ready("tokenization"), telling.ready("gateway")) == (False, None)
    assert (telling.jobs(), telling.processes("generation"), telling.lag_tokens("generation")) == (
        {"queued": 3},
        2,
        None,
    )


def test_rates_are_of_the_last_two_points_and_a_restart_is_no_fall() -> None:
    told = _Points()
    name = stage_metric_catalog.RETRIES.name
    for at_ms, value, rate in ((0, 10, None), (2_000, 14, 2.0), (4_000, 1, 0.0)):
        told.now_ms = 1_000_000 + at_ms
        told.tell(name, value, MESSAGING_GROUP="generation")
        assert told.points.of(name)[0].per_second == rate
    assert Telling(told.points).retries_per_s("generation") == 0.0


def test_who_is_silent_is_forgotten_and_room_is_bounded() -> None:
    told = _Points()
    told.points = LastPoints(lambda: told.now_ms, limit=2)
    source = Source("s", "i")
    assert told.points.take(Point(source, f"m{n}", {}, 1, 0) for n in range(3)) == 1
    assert told.points.take([Point(source, "m0", {}, 2, 5)]) == 0
    assert [last.point.value for last in told.points.of("m0")] == [2]
    told.now_ms += SILENT_MS + 1_001
    assert told.points.of("m0") == []
    assert told.points.take([Point(source, "m9", {}, 1, 0)]) == 0


async def test_lag_replicas_and_dead_letters_as_the_broker_tells_them(
    console: Console, line: Line, broker: MemoryBroker
) -> None:
    request_id = await line.asked()
    for _ in range(3):
        await line.asked()
    await line.answered(request_id)
    await line.bury()
    for group in GROUPS:
        broker.consumer(group, [CHAT_REQUESTS.name if group == "tokenization" else CHAT_TOKENIZED.name])
    done = Partition(CHAT_REQUESTS.name, broker.partition_of(request_id.encode(), 8))
    broker.committed["tokenization", done] = Position(1)
    seen = (await console.get("pipeline")).json()
    stages = {stage["service"]: stage for stage in seen["stages"]}
    assert list(stages) == [role.name for role in ROLES]
    assert (stages["tokenization"]["lag"], stages["tokenization"]["replicas"]) == (3, 1)
    assert 0 <= stages["tokenization"]["oldest_ms"] < 600_000
    assert (stages["gateway"]["replicas"], stages["gateway"]["ready"], stages["generation"]["slots"]) == (
        0,
        None,
        None,
    )
    topics = {topic["name"]: topic for topic in seen["topics"]}
    assert list(topics) == [topic.name for topic in TOPICS]
    assert (topics["chat.requests"]["records"], topics["chat.requests"]["dead"]) == (4, 1)
    assert (topics["chat.generated"]["partitions"], topics["chat.generated"]["dead"]) == (8, 0)
    assert (seen["backends"], seen["ingestion"]) == ([], None)


async def test_a_stage_without_processes_holds_back_what_waits_for_it(console: Console, line: Line) -> None:
    await line.asked()
    assert (await console.get("pipeline")).json()["holding_back"] == "tokenization"


async def test_of_indexes_the_one_counts_that_is_most_behind_of_those_that_are_kept(
    console: Console, broker: MemoryBroker
) -> None:
    producer = broker.producer()
    for _ in range(3):
        await producer.send("documents.deleted", b"d", b"{}", [], 0)
    at = Partition("documents.deleted", 0)
    for group, offset in (("a-indexer-1", 2), ("b-indexer-2", 1), ("gone-indexer-0", 0)):
        if group != "gone-indexer-0":
            broker.consumer(group, ["documents.deleted"])
        broker.committed[group, at] = Position(offset)
    stages = {stage["service"]: stage for stage in (await console.get("pipeline")).json()["stages"]}
    assert (stages["indexing"]["replicas"], stages["indexing"]["lag"]) == (2, 2)


async def test_rates_come_with_the_second_look(console: Console, line: Line, broker: MemoryBroker) -> None:
    await console.get("pipeline")

    async def moving() -> bool:
        request_id = await line.asked()
        at = Partition(CHAT_REQUESTS.name, broker.partition_of(request_id.encode(), 8))
        broker.committed["tokenization", at] = Position(broker.offset_of(at, "end"))
        seen = (await console.get("pipeline")).json()
        rates = {topic["name"]: topic["rate"] for topic in seen["topics"]}
        stages = {stage["service"]: stage["rate"] for stage in seen["stages"]}
        return rates["chat.requests"] > 0 and stages["tokenization"] > 0 and stages["gateway"] > 0

    await until(moving)


async def test_without_kafka_it_says_so_and_comes_back(
    log: MemoryLog, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.observer.handler.watching.PATIENCE_SECONDS", 0.2)
    log.away = BrokerError("gone")
    async with serving(log, settings) as console:
        refused = await console.get("pipeline")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        ready = await console.client.get("/readyz")
        assert (ready.status_code, ready.json()["waiting_for"]) == (503, ["kafka: gone"])
        log.away = None

        async def back() -> bool:
            return (await console.get("pipeline")).status_code == 200

        await until(back)
        assert (await console.client.get("/readyz")).status_code == 200
