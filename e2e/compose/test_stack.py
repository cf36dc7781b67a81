"""What `make compose-up` starts: healthy, confined, and of use through the gateway alone."""

import ipaddress
import json
import time
from pathlib import Path

import httpx2
import pytest

from e2e.compose.engine import JOBS, OURS, SERVERS, Compose, EngineError, docker, eventually
from e2e.stack import ROOT
from penstock.messages.ids import request_id_of

LINE = ("gateway", "tokenization", "retrieval", "generation", "postprocessing")
QUESTION = "What is a penstock?"


def test_all_services_are_healthy_and_all_jobs_done(stack: Compose) -> None:
    for service in (*OURS, *SERVERS):
        assert stack.healthy(service), service
    for job in JOBS:
        state = stack.inspect(job)["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 0), job
    assert stack.ready()


def test_only_the_gateway_is_published_and_only_to_this_machine(stack: Compose) -> None:
    published = []
    for service in (*OURS, *SERVERS):
        ports = stack.inspect(service)["NetworkSettings"]["Ports"]
        published += [(service, port, found) for port, found in ports.items() if found]
    [(service, port, [binding])] = published
    assert (service, port) == ("gateway", "8080/tcp")
    assert ipaddress.ip_address(binding["HostIp"]).is_loopback


@pytest.mark.parametrize("service", OURS)
def test_it_runs_without_rights_and_cannot_write(stack: Compose, service: str) -> None:
    assert stack.execute(service, "id", "-u").strip() == "10001"
    for place in ("/opt/penstock/x", "/etc/x", "/usr/local/bin/x"):
        with pytest.raises(EngineError, match="Read-only file system"):
            stack.execute(service, "touch", place, user="0")
    stack.execute(service, "touch", "/tmp/x")  # noqa: S108  the container's own
    status = dict(
        line.split(":", 1)
        for line in stack.execute(service, "cat", "/proc/1/status").splitlines()
        if ":" in line
    )
    assert {status[name].strip() for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"
    host = stack.inspect(service)["HostConfig"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0


@pytest.mark.parametrize("service", OURS)
def test_its_image_holds_no_tools_and_no_secrets(stack: Compose, service: str) -> None:
    for tool in ("pip", "pip3", "uv", "gcc", "cc", "make", "curl"):
        with pytest.raises(EngineError):
            stack.execute(service, "sh", "-c", f"command -v {tool}")
    with pytest.raises(EngineError, match="No module named"):
        stack.execute(service, "python", "-c", "import pip")
    known = stack.inspect(service)
    [image] = json.loads(docker("image", "inspect", known["Image"]))
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"].startswith("penstock-")
    assert labels["org.opencontainers.image.version"]
    assert image["Config"]["StopSignal"] == "SIGTERM"
    assert image["Config"]["User"] == "10001:10001"
    secrets = [file.read_text().strip() for file in stack.secrets.rglob("*") if file.is_file()]
    said = json.dumps(known)
    assert all(secrets)
    assert not [secret for secret in secrets if secret in said]


def test_a_document_is_cited_in_a_streamed_answer(stack: Compose) -> None:
    client = stack.openai()
    store = client.vector_stores.create(name=f"compose-{time.time_ns()}")
    file = ROOT / "e2e" / "sample" / "what-is-a-penstock.md"
    with file.open("rb") as opened:
        done = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=opened)
    assert done.status == "completed", done.last_error
    model = client.models.list().data[0].id
    text, pieces = "", 0
    citations: list[dict[str, str]] = []
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        max_tokens=60,
        extra_body={"vector_store_ids": [store.id]},
    )
    for chunk in stream:
        for choice in chunk.choices:
            pieces += bool(choice.delta.content)
            text += choice.delta.content or ""
        citations = (chunk.model_extra or {}).get("citations") or citations
    client.vector_stores.delete(store.id)
    assert text.strip()
    assert pieces > 1
    assert {citation["title"] for citation in citations} == {"What a penstock is"}, text


def test_the_console_shows_the_request_with_its_trace(stack: Compose) -> None:
    """The observer gets spans and reads the log, over the network between the containers."""
    client = stack.openai()
    model = client.models.list().data[0].id
    asked = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Say one word."}], max_tokens=4
    )
    request = request_id_of(asked.id)
    headers = {"authorization": f"Bearer {stack.key}"}
    url = f"{stack.url}/console/api/requests/{request}"

    def traced() -> bool:
        view = httpx2.get(url, headers=headers, timeout=10, trust_env=False).json()
        return {span["service"] for trace in view.get("traces", ()) for span in trace["spans"]} >= set(LINE)

    eventually(traced, 30, f"spans of {LINE}")


def test_down_leaves_nothing(tmp_path: Path) -> None:
    """A part of a stack, beside the one that runs."""
    env = {"OFFLINE": "1"} if docker("image", "ls", "-q", "penstock-offline/redis").strip() else {}
    part = Compose(
        "penstock-leaving", env=env | {"PENSTOCK_SECRETS": str(tmp_path / "secrets"), "BUILD": "0"}
    )
    try:
        part.run("create", "postgres", "redis", "gateway-db")
        part.run("start", "postgres", "redis")
        kinds = {found.partition(" ")[0] for found in part.leftovers()}
        assert kinds == {"container", "network", "volume"}
    finally:
        part.run("down")
    assert part.leftovers() == []
