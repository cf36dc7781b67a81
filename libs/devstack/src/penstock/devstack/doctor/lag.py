"""Lag: stages that nobody runs, that fall behind, or that do not get on; and dead letters."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from penstock.devstack.doctor.finding import Finding, error, warning
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene
from penstock.devstack.doctor.words import age, many, some
from penstock.messages import topics
from penstock.messages.topics import TOPICS, Topic
from penstock.streaming.admin.inspection import Inspection, inspecting, open_letters
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import Partition

STAGES: Mapping[str, tuple[Topic, ...]] = {
    "tokenization": (topics.CHAT_REQUESTS,),
    "retrieval": (topics.CHAT_TOKENIZED,),
    "generation": (topics.CHAT_RETRIEVED,),
    "postprocessing": (topics.CHAT_GENERATED,),
    "ingestion": (topics.DOCUMENTS_INDEXED,),
}
"""Consumer groups, and what they read."""
_INDEXER = "-indexer-"
"""In the name of a group that fills one index. One without members is of an index that is gone."""
_INDEXED = (topics.DOCUMENTS_CHUNKED, topics.DOCUMENTS_DELETED)
_AGES_S = (86_400, 3_600, 600)
"""Asked for besides those that matter, to say how old something is."""


@dataclass(frozen=True)
class Queue:
    """What waits for one group: its members, and from where to where in each partition that is not empty."""

    members: int
    waiting: Mapping[Partition, tuple[int, int]]

    @property
    def lag(self) -> int:
        """Records that wait, together."""
        return sum(end - start for start, end in self.waiting.values())


async def look(scene: Scene) -> list[Finding]:
    """How far the stages are, at two moments."""
    return await in_thread(_look, scene, scene.cluster)


async def letters(scene: Scene) -> list[Finding]:
    """Dead letters that nobody has dealt with."""
    counts = await in_thread(_letters, scene, scene.cluster)
    if not counts:
        return []
    told = some([f"{count} of {topic}" for topic, count in sorted(counts.items())])
    return [
        warning(
            "letters.open",
            "dead-letter topics",
            f"{many(sum(counts.values()), 'dead letter')} nobody has dealt with: {told}.",
            "`penstock dlq list` says why; then `penstock dlq replay` or `penstock dlq drop`.",
        )
    ]


def _letters(scene: Scene, servers: Cluster) -> dict[str, int]:
    with inspecting(servers, scene.needs.reply_s) as broker:
        standing = broker.topics()
        return open_letters(broker, servers, [topic for topic in TOPICS if topic.dlq in standing])


def _look(scene: Scene, servers: Cluster) -> list[Finding]:
    with inspecting(servers, scene.needs.reply_s) as broker:
        first = queues(broker)
        time.sleep(scene.needs.look_again_s)
        second = queues(broker)
        findings: list[Finding] = []
        for group, queue in second.items():
            if not queue.lag or group not in first:
                continue
            if not queue.members and not first[group].members:
                findings.append(_nobody(group, queue))
                continue
            findings += _growing(scene, group, first[group], queue)
            findings += _old(scene, broker, group, queue)
    return findings


def queues(broker: Inspection) -> dict[str, Queue]:
    """What waits for each stage, and for each index that is being filled."""
    standing = broker.topics()
    led = {
        name: [Partition(name, number) for number, at in partitions.items() if at.leader is not None]
        for name, partitions in standing.items()
    }
    names = broker.group_names()
    groups = broker.groups([name for name in names if name in STAGES or _INDEXER in name])
    reads = dict(STAGES) | {
        name: _INDEXED for name, group in groups.items() if _INDEXER in name and group.members
    }
    wanted = {at for read in reads.values() for topic in read for at in led.get(topic.name, ())}
    begins, ends = broker.begins(wanted), broker.ends(wanted)
    found: dict[str, Queue] = {}
    for name, read in reads.items():
        group = groups.get(name)
        committed = group.committed if group else {}
        spans = {
            at: (max(committed.get(at, 0), begins[at]), ends[at])
            for topic in read
            for at in led.get(topic.name, ())
        }
        waiting = {at: span for at, span in spans.items() if span[0] < span[1]}
        found[name] = Queue(group.members if group else 0, waiting)
    return found


def _nobody(group: str, queue: Queue) -> Finding:
    return error(
        "lag.nobody",
        f"group {group}",
        f"{many(queue.lag, 'record')} in {_topics(queue.waiting)}, and no process reads them.",
        f"See why {group} does not run: `penstock status`, `penstock logs {group}`.",
    )


def _growing(scene: Scene, group: str, first: Queue, second: Queue) -> Iterator[Finding]:
    grown = second.lag - first.lag
    if grown >= scene.needs.grown:
        yield warning(
            "lag.growing",
            f"group {group}",
            f"{many(second.lag, 'record')} waiting in {_topics(second.waiting)}, {grown} more than"
            f" {scene.needs.look_again_s:g} s before.",
            _more_of(group),
        )


def _old(scene: Scene, broker: Inspection, group: str, queue: Queue) -> Iterator[Finding]:
    """How long the oldest record has waited, that is, was not yet done with.

    A request that is being answered counts, so what matters is the time by which every one must have ended.
    """
    deadline = _deadline_s()
    for seconds in (*(one for one in _AGES_S if one > deadline), deadline, scene.needs.waiting_s):
        if not _older(scene, broker, queue, seconds):
            continue
        late = seconds >= deadline
        tell = error if late else warning
        what = f"the oldest of {many(queue.lag, 'record')} in {_topics(queue.waiting)}"
        yield tell(
            "lag.old",
            f"group {group}",
            f"It is not done with {what}, which came over {age(seconds)} ago"
            + (": longer than any request may take." if late else "."),
            f"`penstock logs {group}` says what it waits for. {_more_of(group)}",
        )
        return


def _older(scene: Scene, broker: Inspection, queue: Queue, seconds: float) -> bool:
    since = broker.first_since(queue.waiting, scene.now_ms() - round(seconds * 1000))
    return any(since.get(at, end) > start for at, (start, end) in queue.waiting.items())


def _deadline_s() -> float:
    """Until when a request must have ended."""
    from penstock.gateway.settings import Settings

    try:
        settings = Settings()
    except ValidationError:
        settings = Settings.model_construct()
    return settings.request_timeout_s + settings.request_grace_s


def _topics(partitions: Collection[Partition]) -> str:
    return some(sorted({at.topic for at in partitions}))


def _more_of(group: str) -> str:
    if group == "generation":
        return "If it lasts, more or faster model servers in PENSTOCK_BACKENDS."
    if group in STAGES and group != "ingestion":
        return f"If it lasts, `penstock scale {group}=2`."
    return "If it lasts, the machine or the embeddings server is too slow."
