"""Topics: that they stand, as the stack makes them, with all their copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from penstock.devstack.doctor.finding import Finding, error, warning
from penstock.devstack.doctor.scene import Scene
from penstock.devstack.doctor.words import many, some
from penstock.devstack.settings import StackSettings
from penstock.messages.topics import TOPICS
from penstock.streaming.admin.inspection import OFFSETS_TOPIC, Inspection, Standing
from penstock.streaming.admin.topics import wanted_configs, wanted_partitions

Topics = Mapping[str, Mapping[int, Standing]]


def topics(scene: Scene, broker: Inspection, where: str) -> Iterator[Finding]:
    """What is missing, or is not as the stack makes it."""
    standing = broker.topics()
    wanted = wanted_partitions(TOPICS)
    missing = sorted(wanted.keys() - standing.keys())
    if missing and scene.status is not None:  # without a stack: `penstock up` makes them
        yield error(
            "topics.missing",
            where,
            f"Topics are missing: {some(missing)}.",
            "`penstock down`, then `penstock up`: it makes them. What was in them is lost.",
        )
    wrong = [
        f"{name} has {len(standing[name])}, needs {count}"
        for name, count in wanted.items()
        if len(standing.get(name, range(count))) != count
    ]
    if wrong:
        yield error(
            "topics.partitions",
            where,
            f"Topics have the wrong number of partitions: {some(wrong)}.",
            "Delete these topics (`kafka-topics.sh --delete`), or name another cluster in PENSTOCK_KAFKA.",
        )
    yield from _configs(broker, [name for name in wanted if name in standing], where)
    yield from _replicas(
        {name: standing[name] for name in (*wanted, OFFSETS_TOPIC) if name in standing}, where
    )


def _configs(broker: Inspection, names: list[str], where: str) -> Iterator[Finding]:
    wanted = wanted_configs(TOPICS, _retention_hours())
    told = broker.topic_configs({name: wanted[name] for name in names})
    differing = [
        f"{name} {setting}={told[name].get(setting)} (not {value})"
        for name in names
        for setting, value in wanted[name].items()
        if told[name].get(setting) != value
    ]
    if differing:
        yield warning(
            "topics.settings",
            where,
            f"Settings of topics differ: {some(differing)}.",
            "`penstock down`, then `penstock up`: it sets them. How long requests are kept is"
            " PENSTOCK_RETENTION_HOURS.",
        )


def _retention_hours() -> float:
    try:
        return StackSettings().retention_hours
    except ValidationError:
        return float(StackSettings.model_fields["retention_hours"].default)


def _replicas(topics: Topics, where: str) -> Iterator[Finding]:
    every = [
        (f"{name}/{number}", at) for name, partitions in topics.items() for number, at in partitions.items()
    ]
    offline = [name for name, at in every if at.leader is None]
    behind = [name for name, at in every if at.leader is not None and at.in_sync < at.replicas]
    if offline:
        yield error(
            "topics.offline",
            where,
            f"{many(len(offline), 'partition')} cannot be used, since no broker leads them: {some(offline)}.",
            "Start the brokers that hold them; their logs say why they ended.",
        )
    if behind:
        yield warning(
            "topics.under-replicated",
            where,
            f"{many(len(behind), 'partition')} with fewer copies than there should be: {some(behind)}.",
            "Start the brokers that are missing, and see that they are not overloaded.",
        )
