"""Traces of the real stack, as an independent collector gets them: one request, one tree.

What stands in the tree is checked here; how it is shown is the observer's and the console's to test.
"""

import json
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from e2e.bench.stacks import serving
from e2e.stack import PENSTOCK, Stack
from e2e.stub.scripted import Script, mark
from e2e.tracetree import Trace, published_names, trace_of
from libs.telemetry.tests.receiver import ReceivedSpan, Receiver
from penstock.devstack.network import free_ports
from penstock.messages.chat import ChatRequested, Message, Sampling
from penstock.messages.envelope import Envelope
from penstock.messages.ids import new_request_id
from penstock.messages.topics import CHAT_REQUESTS
from penstock.streaming import records
from penstock.streaming.adapters import kafka
from penstock.streaming.clock import unix_ms

HOPS = (
    ("chat.requests", "gateway", "tokenization"),
    ("chat.tokenized", "tokenization", "retrieval"),
    ("chat.retrieved", "retrieval", "generation"),
    ("chat.generated", "generation", "postprocessing"),
)
KINDS = {
    "server": r"[A-Z]+( /\S*)?",  # without its route where there is none
    "client": r"GET|POST|PUT|DELETE|HTTP|chat .+|(read|write|transaction|search|upsert|flush) \w+",
    "producer": r"send (chat|documents|usage)\.\w+(\.dlq)?",
    "consumer": r"process ((chat|documents|usage)\.\w+|document)",
    "internal": r"wait document|prefill|decode|parse|chunk",
}
CANARY = "Zwitscherzeisig"


def ask(stack: Stack, question: str, **more: object) -> httpx2.Response:
    body = {"model": stack.model, "messages": [{"role": "user", "content": question}], **more}
    return stack.post({"max_tokens": 24, **body})


@contextmanager
def streamed(stack: Stack, question: str, tokens: int) -> Iterator[tuple[str, Iterator[str]]]:
    """Ask, and give the request's id and the lines of its stream."""
    body = {
        "model": stack.model,
        "messages": [{"role": "user", "content": question}],
        "stream": True,
        "max_tokens": tokens,
    }
    with httpx2.stream(
        "POST",
        f"{stack.status.gateway}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {stack.key}"},
        timeout=90,
        trust_env=False,
    ) as response:
        assert response.status_code == 200
        yield response.headers["x-request-id"], response.iter_lines()


def is_whole(trace: Trace) -> bool:
    """Whether the last span of each service has come."""
    last = ("POST /v1/chat/completions", *(f"process {topic}" for topic, _, _ in HOPS))
    return all(map(trace.named, last))


def overlap(inner: ReceivedSpan, outer: ReceivedSpan, slack_ms: float = 20) -> bool:
    slack = slack_ms * 1e6
    return outer.start_ns - slack <= inner.start_ns and inner.end_ns <= outer.end_ns + slack


def test_a_request_is_one_tree_through_all_services_topics_and_the_backend(
    indexed: Stack, collector: Receiver
) -> None:
    response = ask(indexed, f"What is a penstock? {uuid.uuid4()}")  # no query's vector is known
    request_id = response.headers["x-request-id"]
    trace = trace_of(collector, request_id, lambda t: is_whole(t) and t.named("decode") != [])
    root = trace.one("POST /v1/chat/completions")
    assert trace.roots == [root]
    assert (root.kind, root.service) == ("server", "penstock-gateway")
    assert (root.attributes["http.response.status_code"], root.failed) == (200, False)
    services = {"gateway", "tokenization", "retrieval", "generation", "postprocessing", "inference"}
    assert trace.services == services
    for topic, writer, reader in HOPS:
        send, process = trace.one(f"send {topic}"), trace.one(f"process {topic}")
        assert (send.service, process.service) == (f"penstock-{writer}", f"penstock-{reader}")
        assert process.attributes["penstock.wait_ms"] >= 0
        if topic != "chat.generated":  # which is read from an answer's first record on, and sent to its last
            assert trace.parent(process) == send
            assert send.attributes["messaging.kafka.offset"] == process.attributes["messaging.kafka.offset"]
    assert trace.parent(trace.one("process chat.generated")) == trace.one("process chat.retrieved")
    chat = trace.one(f"chat {indexed.model}")
    backend = trace.one("POST /generate_stream")
    assert trace.path(backend)[-3:] == ["process chat.retrieved", chat.name, "POST /generate_stream"]
    assert [event.name for event in chat.events] == ["slot_taken", "first_token", "last_token"]
    usage = response.json()["usage"]
    assert chat.attributes["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert chat.attributes["gen_ai.request.max_tokens"] == 24
    for phase in ("prefill", "decode"):
        assert trace.parent(trace.one(phase)) == backend
    assert trace.one("prefill").attributes["penstock.wait_ms"] >= 0
    embed = trace.one("POST /tei/embed")
    # Begun while the question was tokenized, or when it came from there.
    assert trace.path(embed)[-2] in ("send chat.requests", "process chat.tokenized")
    assert trace.parent(trace.one("search passages")) == trace.one("process chat.tokenized")
    assert all(span.attributes["penstock.request.id"] == request_id for span in trace.spans)
    ours = [span for span in trace.spans if span.service != "penstock-inference"]
    assert {span.attributes["penstock.tenant"] for span in ours} == {"default"}
    assert all(span.attributes.get("messaging.system", "kafka") == "kafka" for span in trace.spans)
    assert len(trace.spans) <= 18  # never one a token


def test_a_document_is_one_tree_from_its_upload_to_the_index(stack: Stack, collector: Receiver) -> None:
    http = httpx2.Client(
        base_url=f"{stack.status.gateway}/v1",
        headers={"authorization": f"Bearer {stack.key}"},
        timeout=60,
        trust_env=False,
    )
    text = f"A kestrel hovers. {uuid.uuid4()} {CANARY}"
    sent = {"file": ("kestrel.md", text.encode())}
    upload = http.post("/files", files=sent, data={"purpose": "assistants"})
    attach = http.post("/vector_stores/vs_default/files", json={"file_id": upload.json()["id"]})
    attach.raise_for_status()

    def of(response: httpx2.Response) -> Trace:
        by_id = response.headers["x-request-id"]
        own = [s for s in collector.spans if s.attributes.get("penstock.request.id") == by_id]
        return Trace(collector.trace(own[0].trace_id)) if own else Trace(())

    def is_complete(trace: Trace) -> bool:
        last = ("POST /tei/embed", "process documents.indexed")
        return all(map(trace.named, last)) and len(trace.roots) == 1

    collector.wait(lambda: is_complete(of(attach)), 60)
    trace, uploaded = of(attach), of(upload)
    root = trace.one("POST /v1/vector_stores/{vector_store_id}/files")
    assert trace.roots == [root]
    assert {"gateway", "ingestion", "ingestion-worker", "retrieval", "inference"} <= trace.services
    indexed = trace.path(trace.one("process documents.indexed"))
    assert indexed == [
        root.name,
        "POST",
        "POST /v1/vector_stores/{store_id}/files",
        "process document",
        "send documents.chunked",
        "process documents.chunked",
        "send documents.indexed",
        "process documents.indexed",
    ]
    work = trace.one("process document")
    assert trace.parent(trace.one("wait document")) == trace.parent(work)
    assert [link for link, _ in work.links] == [uploaded.roots[0].trace_id]
    for name in ("parse", "chunk", "POST /tei/embed"):
        assert overlap(trace.one(name), work)
    assert work.attributes["penstock.document.id"]


class OneMoreGeneration:
    """One more generation process, whose backend is a stub; it takes its share of the partitions."""

    name = "generation-of-the-test"

    def __init__(self, stack: Stack, stub: str) -> None:
        self._stack = stack
        self._stub = stub
        self._http = httpx2.Client(trust_env=False, timeout=20)
        [self._port] = free_ports(1)

    def __enter__(self) -> "OneMoreGeneration":
        env = {
            **self._stack.env,
            "PENSTOCK_KAFKA": self._stack.status.kafka,
            "PENSTOCK_BACKENDS": f"tgi+{self._stub}",
            "PENSTOCK_INSTANCE": self.name,
            "PENSTOCK_HEALTH_PORT": str(self._port),
        }
        program = [str(Path(PENSTOCK).with_name("penstock-generation"))]
        self.process = subprocess.Popen(program, env=env, stderr=subprocess.DEVNULL)  # noqa: S603  # ours
        deadline = time.monotonic() + 60
        while not self._is_ready():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._http.close()

    def _is_ready(self) -> bool:
        try:
            return self._http.get(f"http://127.0.0.1:{self._port}/readyz").status_code == 200
        except httpx2.HTTPError:
            return False

    def breaks_off_once(self, after: int) -> None:
        """Have each answer of the stub cut once after so many tokens."""
        self._http.post(f"{self._stub}/faults", json={"cut_at": after}).raise_for_status()

    def writes(self, inter_ms: float) -> None:
        """Have the stub write a token so often."""
        self._http.put(f"{self._stub}/stub/behaviour", json={"inter_ms": inter_ms}).raise_for_status()

    @property
    def is_asked(self) -> bool:
        """Whether the stub writes an answer now."""
        return bool(self._http.get(f"{self._stub}/stub/running").json())


@pytest.fixture
def other(stack: Stack) -> Iterator[OneMoreGeneration]:
    with serving("e2e.stub") as stub, OneMoreGeneration(stack, stub.url) as generation:
        yield generation


def test_a_backend_that_breaks_off_is_told_as_a_repetition(
    stack: Stack, collector: Receiver, other: OneMoreGeneration
) -> None:
    other.breaks_off_once(after=5)
    deadline = time.monotonic() + 60
    while True:  # until the other is asked, which has half of the partitions
        assert time.monotonic() < deadline
        response = ask(stack, f"{mark(Script(uuid.uuid4().hex, 20))}")
        trace = trace_of(collector, response.headers["x-request-id"], is_whole)
        if trace.one("process chat.retrieved").resource["service.instance.id"] == other.name:
            break
    assert response.status_code == 200, response.text
    chat = trace.one(f"chat {stack.model}")
    assert [event.name for event in chat.events] == [
        "slot_taken",
        "first_token",
        "retry",
        "continued",
        "slot_taken",
        "last_token",
    ]
    told = {event.name: event.attributes for event in chat.events}
    assert (told["retry"]["error.type"], told["retry"]["penstock.attempt"]) == ("backend_failed", 1)
    assert told["continued"]["penstock.answer.length"] > 0
    assert not chat.failed


def test_an_answer_taken_over_after_a_kill_is_one_trace_with_a_link_to_what_was_begun(
    stack: Stack, collector: Receiver, other: OneMoreGeneration
) -> None:
    other.writes(inter_ms=100)
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline
        with streamed(stack, mark(Script(uuid.uuid4().hex, 200)), 90) as (request_id, lines):
            until_text(lines, 3)
            if other.is_asked:
                trace_of(collector, request_id, lambda t: t.named("process chat.requests"))
                other.process.kill()
                assert any("[DONE]" in line for line in lines)
                break
    trace = trace_of(collector, request_id, is_whole, 60)
    [process] = trace.named("process chat.retrieved")  # the one before was killed before it could tell
    assert process.resource["service.instance.id"] != other.name
    fold = trace.one("process chat.generated")
    assert process.links == ((process.trace_id, fold.parent_id),)
    assert trace.parent(fold) is None
    [taken] = [event.attributes for event in fold.events if event.name == "taken_over"]
    assert taken["penstock.epoch"] == process.attributes["penstock.epoch"] > 1
    chat = trace.one(f"chat {stack.model}")
    assert trace.parent(chat) == process
    [continued] = [event.attributes for event in chat.events if event.name == "continued"]
    assert continued["penstock.answer.length"] > 0


def until_text(lines: Iterator[str], pieces: int) -> None:
    """Read until there is some text."""
    for line in lines:
        if line.startswith("data: {"):
            choices = json.loads(line.removeprefix("data: ")).get("choices") or [{}]
            pieces -= bool(choices[0].get("delta", {}).get("content"))
        if pieces <= 0:
            return


async def test_a_dead_letter_and_its_replay_are_two_traces_that_are_linked(
    stack: Stack, collector: Receiver
) -> None:
    request_id = new_request_id(0, unix_ms())
    trace_id, span_id = uuid.uuid4().hex, "00f067aa0ba902b7"
    too_large = "x" * 2_500_000  # the gateway takes less; the model server does so, too
    question = ChatRequested(
        model=stack.model, messages=(Message(role="user", content=too_large),), sampling=Sampling()
    )
    envelope = Envelope(
        id=uuid.uuid4().hex,
        type=ChatRequested.TYPE,
        source="/test",
        time_ms=unix_ms(),
        subject=request_id,
        tenant="default",
        deadline_ms=unix_ms() + 60_000,
        traceparent=f"00-{trace_id}-{span_id}-01",
    )
    producer = await kafka.open_producer(stack.status.kafka, [CHAT_REQUESTS.name])
    try:
        await records.send(producer, CHAT_REQUESTS, envelope, question)
    finally:
        await producer.close()

    def failed() -> list[ReceivedSpan]:
        return [
            span
            for span in collector.spans
            if span.name == "process chat.requests"
            and span.attributes["messaging.message.conversation_id"] == request_id
        ]

    [first] = collector.wait(failed)
    assert (first.trace_id, first.parent_id) == (trace_id, span_id)
    assert (first.failed, first.attributes["error.type"]) == (True, "backend_refused")
    buried = collector.wait(lambda: Trace(collector.trace(trace_id)).named("send chat.requests.dlq"))
    assert buried[0].parent_id == first.span_id
    replayed = stack.run("dlq", "replay", "--topic", CHAT_REQUESTS.name, "--error", "backend_refused")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    _, second = collector.wait(lambda: (found := failed()) and len(found) > 1 and found)
    assert second.trace_id != trace_id
    assert second.links == ((trace_id, span_id),)


@pytest.mark.usefixtures("stack")
def test_every_name_that_is_exported_is_published_or_our_own(collector: Receiver) -> None:
    published = published_names()
    assert "messaging.kafka.offset" in published
    assert "messaging.kafka.message.offset" not in published  # replaced by the other
    spans = collector.wait(lambda: len(collector.spans) > 20 and list(collector.spans))
    names = {name for span in spans for name in span.attributes}
    names |= {name for span in spans for event in span.events for name in event.attributes}
    names |= {name for span in spans for name in span.resource}
    assert {name for name in names if not name.startswith("penstock.")} <= published
    odd = {(span.kind, span.name) for span in spans if not re.fullmatch(KINDS[span.kind], span.name)}
    assert odd == set()
    events = {event.name for span in spans for event in span.events}
    assert events <= {
        "retry",
        "continued",
        "first_token",
        "last_token",
        "slot_taken",
        "taken_over",
        "batch_split",
    }
    assert all(span.attributes["error.type"] for span in spans if span.failed)


def test_no_question_answer_or_document_gets_into_anything_that_is_exported_or_logged(
    stack: Stack, collector: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "bird.md").write_text(f"# Birds\n\nThe {CANARY} sings of {CANARY} at dawn.\n")
    assert stack.run("ingest", str(tmp_path)).returncode == 0
    response = ask(stack, f"What does the {CANARY} sing of? It is {CANARY}!", max_tokens=48)
    answer = response.json()["choices"][0]["message"]["content"]
    ask(stack, f"{CANARY} " * 20_000)  # refused: its error must not quote it either
    ask(stack, CANARY, model=CANARY)
    trace_of(collector, response.headers["x-request-id"], is_whole)
    time.sleep(1.5)
    exported = b"".join(collector.bodies)
    logged = b"".join(path.read_bytes() for path in (stack.state.folder / "logs").iterdir())
    assert len(exported) > 10_000
    assert logged
    for secret in (CANARY, answer[:40]):
        assert len(secret) > 10
        assert secret.encode() not in exported
        assert secret.encode() not in logged
