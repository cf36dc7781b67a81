"""Kafka's jars are fetched once for each version that infra/kafka/pom.xml names."""

from pathlib import Path

import pytest

from penstock.devstack.jars import ensure_jars, jars_are_there, jars_folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout, and a Maven that puts one jar where it is told to."""
    monkeypatch.delenv("PENSTOCK_KAFKA_JARS", raising=False)
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text(
        '#!/bin/sh\nfor word; do case "$word" in -Djars.folder=*) mkdir -p "${word#*=}";'
        ' touch "${word#*=}/kafka_2.13-4.jar";; esac; done\n'
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{maven.parent}:/usr/bin:/bin")
    monkeypatch.setattr("penstock.devstack.jars.find_java", lambda: "java")
    pom = tmp_path / "infra" / "kafka" / "pom.xml"
    pom.parent.mkdir(parents=True)
    pom.write_text("<version>4.3.0</version>")
    return tmp_path


def test_jars_of_another_version_are_fetched_anew(root: Path) -> None:
    ensure_jars(root)
    assert jars_are_there(root)
    old = jars_folder(root) / "kafka_2.13-3.jar"
    old.touch()
    (root / "infra/kafka/pom.xml").write_text("<version>4.3.1</version>")
    assert not jars_are_there(root)
    ensure_jars(root)
    assert jars_are_there(root)
    assert not old.exists()


def test_the_users_own_jars_are_never_fetched(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "kafka_2.13-4.jar").touch()
    monkeypatch.setenv("PENSTOCK_KAFKA_JARS", str(own))
    assert jars_are_there(root)
