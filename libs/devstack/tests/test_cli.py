"""The command as a user runs it: a process, its output, its exit code. Real Kafka, played services."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from penstock.devstack.network import free_ports

SERVICES = (
    "inference",
    "ingestion",
    "tokenization",
    "retrieval",
    "generation",
    "postprocessing",
    "ingestion-worker",
    "gateway",
    "observer",
)
Until = Callable[..., Awaitable[None]]
Gone = Callable[[int], bool]


@dataclass
class Penstock:
    """Runs ``penstock`` with a state folder of its own; ``env`` may be changed between calls."""

    state: Path
    env: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 this very Python
            [sys.executable, "-m", "penstock.devstack.cli", *arguments],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def status(self) -> dict[str, dict[str, object]]:
        """The services, from the file: one process less for each look."""
        stack = json.loads((self.state / "stack.json").read_text())
        return {service["name"]: service for service in stack["services"]}


@pytest.fixture
def penstock(tmp_path: Path, kafka_broker: str) -> Iterator[Penstock]:
    modules = tmp_path / "modules"
    for name in SERVICES:
        service, _, program = name.partition("-")
        folder = modules / "penstock" / service
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / f"{program or 'main'}.py").write_text(
            f"import fake_service\n\ndef main():\n    fake_service.main({name!r})\n"
        )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    path = os.pathsep.join([str(modules), str(Path(__file__).parent)])
    state = tmp_path / "state"
    state.mkdir()
    own = {"PENSTOCK_STATE": str(state), "PENSTOCK_KAFKA": kafka_broker, "PENSTOCK_GATEWAY_PORT": "0"}
    command = Penstock(state, kept | own | {"PYTHONPATH": path, "COLUMNS": "200"})
    yield command
    command("down")


def pids(status: dict[str, dict[str, object]]) -> list[int]:
    return [pid for service in status.values() if isinstance(pid := service["pid"], int)]


async def test_a_detached_stack_from_up_to_down(penstock: Penstock, until: Until, gone: Gone) -> None:
    up = penstock("up", "--detach")
    assert (up.returncode, up.stderr) == (0, "")
    assert re.search(r"^Console +http://127\.0\.0\.1:\d+/$", up.stdout, re.MULTILINE)
    assert re.search(r"^API +http://127\.0\.0\.1:\d+/v1$", up.stdout, re.MULTILINE)
    assert "\x1b" not in up.stdout
    before = penstock.status()
    shown = penstock("status", "--json")
    assert shown.returncode == 0
    assert {service["name"]: service for service in json.loads(shown.stdout)["services"]} == before
    assert {name: service["state"] for name, service in before.items()} == dict.fromkeys(
        ("kafka", *SERVICES), "ready"
    )
    files = [path for path in penstock.state.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if path.stat().st_mode & 0o077] == []  # they are for their user alone
    again = penstock("up", "--detach")
    assert again.returncode == 1
    assert "A stack already runs here" in again.stderr

    asked = penstock("ask", "How are you?")
    assert asked.returncode == 0
    assert "You asked: [31mHow are you?" in asked.stdout  # the escape character is gone
    assert "[1] Watermark commit, log.pdf, page 7, characters 0–3: “a b”" in asked.stdout
    refused = penstock("ask", "Hm?", "--key", "sk-wrong")
    assert (refused.returncode, refused.stderr) == (1, "penstock: Wrong key (invalid_api_key, HTTP 401)\n")

    victim = before["generation"]["pid"]
    assert isinstance(victim, int)
    os.kill(victim, signal.SIGKILL)
    await until(lambda: (now := penstock.status()["generation"])["restarts"] == 1 and now["state"] == "ready")
    assert "generation ended (signal SIGKILL)" in penstock("logs", "supervisor").stdout
    assert penstock("logs", "generation").stdout.splitlines() == ["generation is here"] * 2
    assert "gateway          | gateway is here" in penstock("logs").stdout

    running = pids(penstock.status())
    assert penstock("down").stdout == "Stopped.\n"
    assert all(gone(pid) for pid in running)
    assert penstock("down").stdout == "No stack runs here.\n"
    assert penstock("status").returncode == 1


async def test_replicas_are_started_named_scaled_and_restarted_under_their_names(
    penstock: Penstock, until: Until, gone: Gone
) -> None:
    up = penstock("up", "--detach", "--replicas", "generation=2,gateway=2")
    assert (up.returncode, up.stderr) == (0, "")
    urls = re.findall(r"http://127\.0\.0\.1:\d+(?=/v1)", up.stdout)
    assert len(set(urls)) == 2
    stack = json.loads((penstock.state / "stack.json").read_text())
    assert (stack["gateways"], stack["gateway"]) == (urls, urls[0])
    assert [service["name"] for service in stack["services"]][5:] == [
        "generation",
        "generation-2",
        "postprocessing",
        "ingestion-worker",
        "gateway",
        "gateway-2",
        "observer",
    ]
    for url in urls:
        assert penstock("ask", "How are you?", "--url", url).returncode == 0
    assert penstock("logs", "generation-2").stdout == "generation-2 is here\n"

    more = penstock("scale", "generation=4", "gateway=1")
    assert (more.returncode, more.stderr) == (0, "")
    assert "generation-4 is ready (" in more.stdout
    assert "gateway-2 is gone (" in more.stdout
    assert re.findall(r"http://127\.0\.0\.1:\d+(?=/v1)", more.stdout) == urls[:1]
    status = penstock.status()
    assert status["generation"]["pid"] == {s["name"]: s for s in stack["services"]}["generation"]["pid"]
    assert sum(name.startswith("generation") for name in status) == 4

    victim = status["generation-3"]["pid"]
    assert isinstance(victim, int)
    os.kill(victim, signal.SIGKILL)
    await until(
        lambda: (now := penstock.status()["generation-3"])["restarts"] == 1 and now["state"] == "ready"
    )
    assert "generation-3 ended (signal SIGKILL)" in penstock("logs", "supervisor").stdout

    surplus = [status[name]["pid"] for name in ("generation-2", "generation-4")]
    fewer = penstock("scale", "generation=1")
    assert (fewer.returncode, fewer.stderr) == (0, "")
    assert all(isinstance(pid, int) and gone(pid) for pid in surplus)
    assert [name for name in penstock.status() if name.startswith("generation")] == ["generation"]
    running = pids(penstock.status())
    penstock("down")
    assert all(gone(pid) for pid in running)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scale", "generation=0"], "generation may have 1 to 16 replicas, not 0"),
        (["scale", "inference=2"], "inference cannot be scaled: start another server yourself, and name"),
        (["up", "--replicas", "kafka=2"], "kafka cannot be scaled: use a cluster of your own, and name"),
        (["up", "-d", "--replicas", "generator=2"], "No service 'generator'; there are: tokenization, "),
        (["scale", "generation=2"], "No stack runs here: start one with `penstock up`"),
    ],
)
def test_replicas_that_cannot_be(penstock: Penstock, words: list[str], message: str) -> None:
    done = penstock(*words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"penstock: {message}")
    assert done.stderr.count("\n") == 1


async def test_a_replica_that_only_crashes_ends_the_waiting_of_scale(penstock: Penstock) -> None:
    penstock("up", "--detach")
    (penstock.state / ".broken").write_text("generation-2")
    scaled = penstock("scale", "generation=2")
    assert scaled.returncode == 1
    assert re.search(
        r"penstock: generation-2 ended \d times: generation-2 cannot start today \(see ", scaled.stderr
    )
    assert penstock("scale", "generation=1").returncode == 0
    assert penstock("status").returncode == 0


async def test_ingest(penstock: Penstock, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.md").write_text("# A")
    (folder / "bad.pdf").write_text("no PDF")
    penstock("up", "--detach")
    done = penstock("ingest", str(folder))
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(r"bad\.pdf +It is no PDF\.", done.stdout)
    assert "1 documents indexed, 1 failed: 3 chunks, 1 pages in " in done.stdout
    (folder / "bad.pdf").unlink()
    again = penstock("ingest", str(folder))
    assert (again.returncode, again.stderr) == (0, "")
    assert "0 documents indexed, 1 unchanged" in again.stdout
    (tmp_path / "empty").mkdir()
    assert "There is nothing to ingest" in penstock("ingest", str(tmp_path / "empty")).stderr
    assert "does not exist" in penstock("ingest", "/no/such/folder").stderr


async def test_documents(penstock: Penstock, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A")
    penstock("up", "--detach")
    assert penstock("ingest", str(tmp_path / "a.md")).returncode == 0
    listed = penstock("documents", "list")
    assert re.search(r"a\.md +completed", listed.stdout)
    [one] = json.loads(penstock("documents", "list", "--json").stdout)
    assert (one["filename"], one["status"], one["chunks"]) == ("a.md", "completed", 3)
    assert json.loads(penstock("documents", "show", "a.md", "--json").stdout) == one
    found = penstock("documents", "search", "penstock")
    assert "docs/a.md, page 4, Guide > Gates, characters 10–20 (0.50)" in found.stdout
    assert "\x1b" not in found.stdout
    assert json.loads(penstock("documents", "search", "penstock", "--json").stdout)[0]["page"] == 4
    assert penstock("documents", "policy").stdout.strip() == "none"
    assert penstock("documents", "policy", "quote").stdout.strip() == "quote"
    assert json.loads(penstock("documents", "policy", "none", "--json").stdout) == {"answers": None}
    missing = penstock("documents", "delete", "b.md")
    assert (missing.returncode, "There is no document 'b.md'" in missing.stderr) == (1, True)
    assert "1 document deleted" in penstock("documents", "delete", "a.md").stdout
    assert "0 documents" in penstock("documents", "list").stdout


async def test_the_demo_ends_with_the_answer(penstock: Penstock) -> None:
    shown = penstock("demo", "--once")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "You asked: " in shown.stdout
    assert "[1] Watermark commit" in shown.stdout
    assert penstock("status").returncode == 1


async def test_the_demo_stays_until_ctrl_c(penstock: Penstock, gone: Gone) -> None:
    process = penstock.start("demo")
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or "Ctrl-C stops everything" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], "it ended early"
    text = "".join(lines)
    assert "curl -N http://127.0.0.1:" in text
    assert "from openai import OpenAI" in text
    running = pids(penstock.status())
    assert len(running) == len(SERVICES)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert all(gone(pid) for pid in running)


async def test_ctrl_c_before_the_answer_is_no_success(penstock: Penstock, gone: Gone, until: Until) -> None:
    process = penstock.start("demo", "--once")
    stack = penstock.state / "stack.json"
    await until(lambda: stack.exists() and '"pid": ' in stack.read_text().partition("services")[2])
    services = json.loads(stack.read_text())["services"]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert all(gone(service["pid"]) for service in services if service["pid"])


async def test_a_service_that_only_crashes_ends_a_detached_start(penstock: Penstock) -> None:
    (penstock.state / ".broken").write_text("retrieval")
    up = penstock("up", "--detach")
    assert up.returncode == 1
    assert "retrieval ended 5 times without becoming ready: retrieval cannot start today" in up.stderr
    assert up.stderr.count("\n") == 1
    assert penstock("status").stdout == "No stack runs here: start one with `penstock up`.\n"


def test_a_start_that_takes_too_long_names_who_is_late(penstock: Penstock) -> None:
    penstock.env |= {"PENSTOCK_READY_TIMEOUT": "12", "PENSTOCK_KAFKA": f"127.0.0.1:{free_ports(1)[0]}"}
    late = penstock("up", "--detach")
    assert late.returncode == 1
    assert late.stderr.startswith("penstock: Not ready after 12 s: kafka")
    late = penstock("demo", "--once")
    assert late.returncode == 1
    assert (
        f"Not ready after 12 s: kafka is waiting for an answer from {penstock.env['PENSTOCK_KAFKA']}"
        in late.stderr
    )


def test_a_taken_gateway_port(penstock: Penstock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        penstock.env["PENSTOCK_GATEWAY_PORT"] = str(taken.getsockname()[1])
        for command in (["up"], ["up", "--detach"], ["demo"]):
            up = penstock(*command)
            assert up.returncode == 1
            assert "is taken: set PENSTOCK_GATEWAY_PORT (0 picks a free one)" in up.stderr
            assert up.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PENSTOCK_GATEWAY_PORT", "eighty", "PENSTOCK_GATEWAY_PORT is not usable"),
        ("PENSTOCK_GATEWAY_PORT", "70000", "PENSTOCK_GATEWAY_PORT is not a port: 70000"),
        ("PENSTOCK_KAFKA", "localhost", "PENSTOCK_KAFKA must be host:port[,host:port], not 'localhost'"),
        ("PENSTOCK_GATEWAY_HOST", "192.0.2.1", "Cannot assign requested address"),
        ("PENSTOCK_GATEWAY_HOST", "no.such.host.invalid", "set PENSTOCK_GATEWAY_HOST"),
    ],
)
def test_settings_that_cannot_be(penstock: Penstock, name: str, value: str, message: str) -> None:
    penstock.env[name] = value
    up = penstock("up")
    assert up.returncode == 1
    assert message in up.stderr
    assert up.stderr.count("\n") == 1


def test_missing_java_is_one_line_that_says_what_else_to_do(penstock: Penstock, tmp_path: Path) -> None:
    del penstock.env["PENSTOCK_KAFKA"]
    penstock.env.pop("JAVA_HOME", None)
    penstock.env["PATH"] = str(tmp_path)
    up = penstock("up")
    assert up.returncode == 1
    assert up.stderr == (
        "penstock: Kafka needs Java 17 or newer: no `java` on the PATH."
        " To use a Kafka that already runs: PENSTOCK_KAFKA=host:port make run\n"
    )


def test_without_a_stack(penstock: Penstock) -> None:
    for command in (["ask", "x"], ["ingest", "."], ["documents", "list"]):
        done = penstock(*command)
        assert (done.returncode, done.stderr) == (
            1,
            "penstock: No stack runs here: start one with `penstock up`\n",
        )
    assert penstock("status", "--json").stdout == '{"pid":null,"ready":false}\n'
    assert "No log of 'x'" in penstock("logs", "x").stderr
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert f"No gateway answers at {url}" in penstock("ask", "x", "--url", f"{url}/v1", "--key", "k").stderr
