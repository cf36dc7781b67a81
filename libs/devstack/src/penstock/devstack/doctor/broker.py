"""The broker: whether it answers, whether it is the right one, what it allows, and how its disk is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from penstock.devstack.doctor.finding import Finding, error, warning
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene
from penstock.devstack.doctor.topics import topics
from penstock.devstack.doctor.words import size
from penstock.streaming.admin.inspection import Inspection, inspecting
from penstock.streaming.connection import KafkaConnection
from penstock.streaming.ports import BrokerError, Refused
from penstock.streaming.worker import WorkerSettings

_KAFKA_4 = 22
"""The first level of `metadata.version` of Kafka 4.0 (its 4.0-IV0)."""
_CONNECT_S = 2.0
_OURS_SESSION_MS = 1_500
_SESSION = ("group.min.session.timeout.ms", "group.max.session.timeout.ms")


async def look(scene: Scene) -> list[Finding]:
    """All about the broker and the topics."""
    return await in_thread(_look, scene, scene.cluster)


async def addresses(scene: Scene) -> list[Finding]:
    """Whether all of several addresses answer, and lead to one cluster."""
    named = [server.strip() for server in scene.kafka.split(",")]
    if len(named) == 1:
        return []
    told = await asyncio.gather(*(in_thread(_cluster_id, scene, address) for address in named))
    ids = dict(zip(named, told, strict=True))
    first = next((one for one in told if isinstance(one, str)), None)
    if first is None:
        return []  # that none answers is told by the other check
    return [_wrong(address, one, first) for address, one in ids.items() if one != first]


def _cluster_id(scene: Scene, address: str) -> str | BrokerError:
    try:
        with inspecting(replace(scene.cluster, servers=address), scene.needs.reply_s) as broker:
            return broker.cluster_id()
    except BrokerError as failure:
        return failure


def _wrong(address: str, told: str | BrokerError, first: str) -> Finding:
    if isinstance(told, BrokerError):
        return warning(
            "broker.one-away",
            f"Kafka at {address}",
            f"It does not answer, others do ({told}).",
            "Start it, or take it out of PENSTOCK_KAFKA.",
        )
    return error(
        "broker.other-cluster",
        f"Kafka at {address}",
        f"It is of another cluster ({told}) than the addresses before it ({first}).",
        "Name brokers of one cluster only in PENSTOCK_KAFKA.",
    )


def _look(scene: Scene, servers: KafkaConnection) -> list[Finding]:
    where = f"Kafka at {servers}"
    try:
        with inspecting(servers, scene.needs.reply_s) as broker:
            strangers = [*_addresses(broker, where)]
            if strangers:  # what follows asks these addresses
                return strangers
            return [
                *_cluster(scene, broker, where),
                *_version(broker, where),
                *_session(scene, broker, where),
                *topics(scene, broker, where),
                *_disks(scene, broker, where),
            ]
    except BrokerError as failure:
        return [_unreachable(scene, where, failure)]


def _unreachable(scene: Scene, where: str, failure: BrokerError) -> Finding:
    ours = scene.kafka_is_ours
    if isinstance(failure, Refused):
        return error("broker.refuses", where, f"It refuses: {failure}.", "Correct the setting that is named.")
    return error(
        "broker.unreachable",
        where,
        f"It does not answer ({failure}).",
        "Read `penstock logs kafka`; if its process hangs, `penstock down` and `penstock up`."
        if ours
        else "Start it, or set PENSTOCK_KAFKA to the address of one that runs.",
    )


def _addresses(broker: Inspection, where: str) -> Iterator[Finding]:
    """Whether each broker can be reached where it says that it is."""
    for node in broker.nodes():
        try:
            socket.create_connection((node.host, node.port), timeout=_CONNECT_S).close()
        except OSError as failure:
            yield error(
                "broker.address",
                where,
                f"Broker {node.number} sends clients to {node.host}:{node.port}, which cannot be reached from"
                f" here ({failure.strerror or failure}).",
                "Start that broker, or set its `advertised.listeners` to an address that clients can reach.",
            )


def _cluster(scene: Scene, broker: Inspection, where: str) -> Iterator[Finding]:
    """Whether it is the cluster whose data lie here."""
    kept = _own_cluster_id(scene.state.folder) if scene.kafka_is_ours else None
    answering = None if kept is None else broker.cluster_id()
    if kept != answering:
        yield error(
            "broker.other-cluster",
            where,
            f"Another cluster answers ({answering}) than the one whose data lie here ({kept}).",
            "Stop what listens there (see `ports.taken`), then `penstock down` and `penstock up`.",
        )


def _own_cluster_id(state: Path) -> str | None:
    try:
        text = (state / "kafka" / "data" / "meta.properties").read_text("utf-8", errors="replace")
    except OSError:
        return None
    lines = (line.partition("=") for line in text.splitlines())
    return next((value for name, _, value in lines if name == "cluster.id"), None)


def _version(broker: Inspection, where: str) -> Iterator[Finding]:
    level = broker.metadata_version()
    if level is None or level < _KAFKA_4:
        told = "is older than Kafka 3.3" if level is None else f"works at metadata.version {level}"
        yield warning(
            "broker.version",
            where,
            f"It {told}; Penstock is tried with Kafka 4 (metadata.version {_KAFKA_4} and later).",
            "Upgrade the brokers, then `kafka-features.sh upgrade --release-version 4.0`.",
        )


def _session(scene: Scene, broker: Inspection, where: str) -> Iterator[Finding]:
    """Whether the broker lets consumers have the session timeout that the services will ask for."""
    try:
        asked = WorkerSettings().session_timeout_ms
    except ValidationError:
        return  # told by the settings' check
    if scene.kafka_is_ours and scene.given("SESSION_TIMEOUT_MS") is None:
        asked = _OURS_SESSION_MS
    node = broker.nodes()[0].number
    told = broker.node_configs(node, _SESSION)
    least, most = (int(told[name]) for name in _SESSION)
    if not least <= asked <= most:
        yield error(
            "broker.session-timeout",
            where,
            f"It takes session timeouts from {least} to {most} ms; the services ask for {asked} ms, so no"
            " stage can join its group.",
            f"Set PENSTOCK_SESSION_TIMEOUT_MS to at least {least}, or the broker's {_SESSION[0]} to less.",
        )


def _disks(scene: Scene, broker: Inspection, where: str) -> Iterator[Finding]:
    needs = scene.needs
    for folder in broker.log_dirs():
        if folder.free is None or folder.free >= needs.disk_low:
            continue
        tell = error if folder.free < needs.disk_least else warning
        yield tell(
            "broker.disk",
            f"{where}, broker {folder.node}, {folder.path}",
            f"{size(folder.free)} are free on its disk; the logs take {size(folder.used)}."
            " A broker whose disk is full ends.",
            "Free space there, or keep less: PENSTOCK_RETENTION_HOURS.",
        )
