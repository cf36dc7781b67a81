"""The embedded broker itself, and the one line that stands for each thing that can be missing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from penstock.devstack import jars
from penstock.devstack.errors import DevstackError
from penstock.devstack.java import find_java, parse_major
from penstock.devstack.kafka import running_broker
from penstock.devstack.network import broker_answers, free_ports, port_is_free, preferred_port
from penstock.devstack.readiness import KafkaProbe, Readiness
from penstock.devstack.topics import create_topics

Until = Callable[..., Awaitable[None]]


def test_it_keeps_its_data_when_its_ports_change(tmp_path: Path) -> None:
    with running_broker(tmp_path / "kafka") as first:
        create_topics(first.bootstrap)
        identity = (tmp_path / "kafka" / "data" / "meta.properties").read_text()
    assert port_is_free(first.port)
    with running_broker(tmp_path / "kafka") as second:
        assert second.port != first.port
        assert broker_answers("127.0.0.1", second.port)
        create_topics(second.bootstrap)  # finds them all
    assert (tmp_path / "kafka" / "data" / "meta.properties").read_text() == identity


def broker_process(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "penstock.devstack.kafka", "--dir", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 this very Python


async def test_the_module_becomes_the_broker(tmp_path: Path, until: Until) -> None:
    """What the supervisor starts: the printed address answers, and the process itself is Java."""
    process = broker_process(tmp_path)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(b":")[2])
        await until(lambda: broker_answers("127.0.0.1", port), 60)
        assert "java" in os.readlink(f"/proc/{process.pid}/exe")
        assert "Kafka Server started" in (tmp_path / "kafka.log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


async def test_kafka_is_ready_when_it_answers_and_has_its_topics(kafka_broker: str) -> None:
    problems = ["not yet"]
    calls: list[str] = []

    def create(bootstrap: str) -> None:
        calls.append(bootstrap)
        if problems:
            raise DevstackError(problems.pop())

    servers = f"127.0.0.1:{free_ports(1)[0]},{kafka_broker}"  # one of them is enough
    probe = KafkaProbe(servers, create)
    seen = [await probe()]
    while not seen[-1].ready:
        seen.append(await probe())
    assert Readiness(False, ("topics: not yet",)) in seen
    assert calls == [servers, servers]


async def test_kafka_that_does_not_answer() -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    readiness = await KafkaProbe(nobody, create_topics)()
    assert readiness == Readiness(False, (f"an answer from {nobody}",))


def test_a_taken_port_is_not_preferred(kafka_broker: str) -> None:
    port = int(kafka_broker.rpartition(":")[2])
    assert not port_is_free(port)
    assert preferred_port(port) != port


@pytest.mark.parametrize(
    ("banner", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_202"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("command not found", None),
    ],
)
def test_java_versions(banner: str, major: int | None) -> None:
    assert parse_major(banner) == major


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(stat.S_IRWXU)


def test_no_java_and_an_old_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DevstackError, match=r"no `java` on the PATH\. .*PENSTOCK_KAFKA=host:port make run"):
        find_java()
    program(tmp_path / "bin", "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(DevstackError, match=r"needs Java 17 or newer, .* is 11"):
        find_java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    with pytest.raises(DevstackError, match="holds no bin/java"):
        find_java()


def test_no_maven_and_a_failing_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    (tmp_path / "infra" / "kafka").mkdir(parents=True)
    (tmp_path / "infra" / "kafka" / "pom.xml").touch()
    program(tmp_path / "bin", "java", "echo 'openjdk version \"17.0.2\"' >&2")
    with pytest.raises(DevstackError, match=r"no `mvn` on the PATH\. .*PENSTOCK_KAFKA=host:port make run"):
        jars.ensure_jars(tmp_path)
    program(tmp_path / "bin", "mvn", "echo '[ERROR] Could not transfer artifact'; exit 1")
    with pytest.raises(DevstackError, match=r"Maven could not resolve .*Could not transfer artifact"):
        jars.ensure_jars(tmp_path)
    assert not (tmp_path / ".cache").exists()
    with pytest.raises(DevstackError, match="run `make kafka`"):
        jars.class_path(tmp_path)
