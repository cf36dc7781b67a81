"""The whole command: what it prints, when there is nothing to look at, and when looking itself goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.devstack import doctor
from penstock.devstack.doctor.finding import Finding, error, harmless, secrets_in, warning
from penstock.devstack.doctor.runner import examine, in_thread
from penstock.devstack.doctor.scene import Needs, Scene, Unchecked
from penstock.devstack.network import free_ports
from penstock.streaming.ports import BrokerError

MakeScene = Callable[..., Scene]
SOURCES = Path(str(doctor.__file__)).parent
ROOT = Path(__file__).parents[4]
CODE = re.compile(r'"([a-z]+\.(?!json|txt|lock)[a-z-]+)",')


def penstock_doctor(state: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return subprocess.run(  # noqa: S603 this very Python
        [sys.executable, "-m", "penstock.devstack.cli", "doctor", "--seconds", "60", *words],
        env=clean | {"PENSTOCK_STATE": str(state), "PENSTOCK_GATEWAY_PORT": "0"} | env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_with_nothing_there_it_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    done = penstock_doctor(tmp_path / "state", "--json")
    told = json.loads(done.stdout)
    codes = {one["code"] for one in told["findings"]}
    assert "stack.none" in codes
    assert {one["check"] for one in told["not_looked_at"]} == {
        "broker and topics",
        "addresses of brokers",
        "lag",
        "dead letters",
        "model servers",
        "embeddings",
        "clocks",
    }
    assert done.stderr == ""
    assert not (tmp_path / "state").exists()


def test_a_broker_that_wants_another_protocol(tmp_path: Path, kafka_broker: str) -> None:
    done = penstock_doctor(tmp_path / "state", PENSTOCK_KAFKA=kafka_broker, PENSTOCK_KAFKA_PROTOCOL="SSL")
    assert done.returncode == 1
    assert "broker.refuses" in done.stdout
    assert "check PENSTOCK_KAFKA_PROTOCOL" in " ".join(done.stdout.split())
    assert "broker.unreachable" not in done.stdout


def test_with_everything_broken_it_says_what_without_secrets(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    state = tmp_path / "state"
    state.mkdir()
    (state / "api-key").write_text("sk-the-key-of-a-test\n")
    (state / "api-key").chmod(0o604)
    (state / "gateway").mkdir()
    (state / "gateway" / "accounts.db").write_text("sk-the-key-of-a-test")
    done = penstock_doctor(
        state,
        PENSTOCK_KAFKA=nobody,
        PENSTOCK_BACKENDS=f"tgi+http://{nobody}",
        PENSTOCK_BACKEND_KEY="backend-secret",
        PENSTOCK_EMBEDDINGS=f"http://user:pass-word@{nobody}",
        PENSTOCK_QDRANT_API_KEY="qdrant-secret",
        PENSTOCK_QDRANT="ftp://qdrant-secret",
        PENSTOCK_EMBEDDING_SIZE="none",
    )
    for code in (
        "settings.unusable",
        "broker.unreachable",
        "backends.unreachable",
        "embeddings.unreachable",
        "databases.unreadable",
        "disk.key",
    ):
        assert code in done.stdout
    assert (done.returncode, done.stderr) == (1, "")
    for secret in ("sk-the-key", "pass-word", "backend-secret", "qdrant-secret", "\x1b"):
        assert secret not in done.stdout
    assert re.search(r"^\d+ errors, \d+ warnings?: \d+ checks in ", done.stdout, re.MULTILINE)


async def test_a_check_that_fails_or_hangs_hides_nothing(scene: MakeScene) -> None:
    released = threading.Event()

    async def finds(_: Scene) -> list[Finding]:
        return [warning("a.small", "x", "w", "d"), error("a.large", "x", "w", "d")]

    async def breaks(_: Scene) -> list[Finding]:
        raise KeyError("secret-of-a-test")

    async def hangs(_: Scene) -> list[Finding]:
        await in_thread(released.wait, 60)
        return []

    async def cannot(_: Scene) -> list[Finding]:
        raise Unchecked("there is no broker")

    async def away(_: Scene) -> list[Finding]:
        return await in_thread(lambda: _raise(BrokerError("gone")))

    checks = {"finds": finds, "breaks": breaks, "hangs": hangs, "cannot": cannot, "away": away}
    found = await examine(scene(needs=Needs(limit_s=1)), checks, frozenset({"secret-of-a-test"}))
    released.set()
    assert [one.code for one in found.findings] == ["a.large", "a.small"]
    assert found.needs_action
    assert found.looked_at == ("finds",)
    assert {one.check: one.reason for one in found.not_looked_at} == {
        "breaks": "KeyError: '…'",
        "hangs": "not done within 1 s",
        "cannot": "there is no broker",
        "away": "gone",
    }


def _raise(failure: Exception) -> list[Finding]:
    raise failure


async def test_warnings_alone_need_no_action(scene: MakeScene) -> None:
    async def warns(_: Scene) -> list[Finding]:
        return [warning("a.b", "x", "w", "d")]

    assert not (await examine(scene(), {"warns": warns})).needs_action


def test_a_thread_that_hangs_does_not_hold_up_the_end() -> None:
    started = time.monotonic()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await in_thread(time.sleep, 600)

    asyncio.run(main())
    assert time.monotonic() - started < 300


def test_texts_are_made_harmless() -> None:
    secrets = secrets_in({"X_API_KEY": "key-value", "PASSWORD": "short", "HOME": "/home/me"}, "sk-123456")
    text = "key-value at\npostgresql://me:pw@host/x \x1b[31msk-123456 short /home/me"
    assert harmless(text, secrets) == "… at postgresql://…@host/x [31m… short /home/me"


def test_every_finding_is_documented_and_has_a_test() -> None:
    codes = {code for source in SOURCES.glob("*.py") for code in CODE.findall(source.read_text())}
    assert len(codes) > 30
    listed = re.findall(r"^\| `([a-z.-]+)` \|", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(codes)
    tests = [*Path(__file__).parent.glob("test_*.py"), *(ROOT / "e2e").rglob("test_*.py")]
    tried = "".join(test.read_text() for test in tests)
    assert [code for code in sorted(codes) if f'"{code}"' not in tried] == []
