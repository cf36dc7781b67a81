"""Settings, ports and versions that are wrong."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.devstack.doctor import ports, settings, versions
from penstock.devstack.doctor.finding import Finding
from penstock.devstack.doctor.scene import Scene
from penstock.devstack.state import ServiceStatus, StackStatus

ROOT = Path(__file__).parents[4]
MakeScene = Callable[..., Scene]
MakeStatus = Callable[..., StackStatus]
Spawn = Callable[..., tuple[int, str]]
Site = Callable[..., None]


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


async def test_nothing_is_found_where_nothing_is_wrong(
    scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_GATEWAY_PORT", "0")
    assert await settings.look(scene()) == []
    assert await ports.look(scene()) == []


async def test_a_name_that_nothing_reads_with_the_one_that_was_meant(
    scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_BACKEND", "tgi+http://user:hidden@host:1")
    monkeypatch.setenv("PENSTOCK_ZZZ", "1")
    monkeypatch.setenv("PENSTOCK_GATEWAY_PORT", "0")
    found = await settings.look(scene())
    assert codes(found) == ["settings.unknown", "settings.unknown"]
    assert (found[0].looked_at, found[0].severity) == ("PENSTOCK_BACKEND", "warning")
    assert "Did you mean PENSTOCK_BACKENDS?" in found[0].to_do
    assert found[1].to_do == "Unset it."


def test_every_name_that_the_sources_read_is_known() -> None:
    known = settings.known_names(settings.settings_classes())
    for source in [*ROOT.glob("libs/*/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py")]:
        text = source.read_text()
        # Quoted alone: how the environment is read or a child's is written. Others stand in texts for users.
        for name in re.findall(r'"(PENSTOCK_[A-Z_]+[A-Z])"', text):
            assert name in known, f"{source.name} reads {name}: see READ_DIRECTLY"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PENSTOCK_GATEWAY_PORT", "eighty"),
        ("PENSTOCK_BACKENDS", "http://host:1"),
        ("PENSTOCK_EMBEDDING_SIZE", "many"),
        ("PENSTOCK_KAFKA", "localhost"),  # only the start itself looks at its form
        ("PENSTOCK_MODEL", "/no/such/file"),
    ],
)
async def test_a_value_that_cannot_be_used(
    scene: MakeScene, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    [finding] = await settings.look(scene())
    assert (finding.code, finding.severity) == ("settings.unusable", "error")
    assert name in finding.looked_at + finding.wrong


async def test_a_value_that_the_running_stack_does_not_know(
    scene: MakeScene, stack: MakeStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_KAFKA", "elsewhere:9092")
    monkeypatch.setenv("PENSTOCK_GATEWAY_PORT", "8081")
    found = await settings.look(scene(stack()))
    assert codes(found) == ["settings.differ", "settings.differ"]
    assert "It is elsewhere:9092 here" in found[0].wrong
    assert found[1].looked_at == "PENSTOCK_GATEWAY_PORT"


async def test_a_port_that_another_process_holds(
    scene: MakeScene, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, port = spawn(
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], end='')"
    )
    monkeypatch.setenv("PENSTOCK_GATEWAY_PORT", port)
    [finding] = await ports.look(scene())
    assert (finding.code, finding.severity) == ("ports.taken", "error")
    assert f"(pid {holder})" in finding.wrong
    assert f"kill {holder}" in finding.to_do
    assert "PENSTOCK_GATEWAY_PORT" in finding.to_do


async def test_a_port_of_the_stack_that_another_process_holds(
    scene: MakeScene, stack: MakeStatus, spawn: Spawn
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        other, _ = spawn("")
        gateway = ServiceStatus(name="gateway", state="waiting", pid=other)
        status = stack(gateway, gateways=(f"http://127.0.0.1:{port}",))
        [finding] = await ports.look(scene(status))
        assert finding.code == "ports.taken"
        assert f"(pid {os.getpid()})" in finding.wrong
        mine = ServiceStatus(name="gateway", state="ready", pid=os.getpid())
        assert await ports.look(scene(stack(mine, gateways=status.gateways))) == []


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``site(name, version)`` installs a package, as far as its metadata go."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def install(name: str, version: str, **fields: str) -> None:
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = [f"{key.replace('_', '-')}: {value}" for key, value in fields.items()]
        head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]
        (info / "METADATA").write_text("\n".join(head) + "\n")

    return install


async def test_members_of_several_versions(scene: MakeScene, site: Site) -> None:
    site("penstock-extra", "99.1")
    found = [one for one in await versions.look(scene()) if one.code.startswith("versions.m")]
    assert codes(found) == ["versions.members"]
    assert "99.1: penstock-extra" in found[0].wrong


async def test_a_python_that_is_too_old(scene: MakeScene, site: Site) -> None:
    site("penstock-extra", "0.1.0", Requires_Python=">=3.99")
    [finding] = [one for one in await versions.look(scene()) if one.code == "versions.python"]
    assert finding.wrong == "penstock-extra needs Python >=3.99."


async def test_packages_that_are_missing_or_of_another_version(
    scene: MakeScene, site: Site, tmp_path: Path
) -> None:
    site("some-package", "1.0")
    (tmp_path / "requirements.lock").write_text(
        "no-such-package==3.1 \\\n    --hash=sha256:00\n"
        "some_package==2.0 \\\n    --hash=sha256:00\n"
        "for-others==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    )
    found = [one for one in await versions.look(scene()) if "lock" in one.looked_at]
    assert codes(found) == ["versions.missing", "versions.packages"]
    assert found[0].wrong == "Not installed: no-such-package."
    assert found[1].wrong == "Other versions are installed: some-package 1.0 instead of 2.0."


async def test_an_old_java_and_no_jars(
    scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o700)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_KAFKA_JARS", str(tmp_path / "jars"))
    found = {one.code: one for one in await versions.look(scene())}
    assert "needs Java 17 or newer" in found["versions.java"].wrong
    assert "make kafka" in found["versions.jars"].to_do
    monkeypatch.setenv("PENSTOCK_KAFKA", "host:9092")  # then neither is needed
    assert not {"versions.java", "versions.jars"} & set(codes(await versions.look(scene())))
