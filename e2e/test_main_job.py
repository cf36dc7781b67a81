"""The main job: documents in, a streamed and cited answer from the real model out."""

import json
import re
from pathlib import Path

from openai.types.chat import ChatCompletionMessageParam

from e2e.stack import Stack
from penstock.messages.ids import request_id_of
from penstock.messages.topics import (
    CHAT_GENERATED,
    CHAT_REQUESTS,
    CHAT_RESPONSES,
    CHAT_RETRIEVED,
    CHAT_TOKENIZED,
)
from penstock.streaming.records import envelope_of

SAMPLE = Path(__file__).parent / "sample"
CHAT_TOPICS = (CHAT_REQUESTS, CHAT_TOKENIZED, CHAT_RETRIEVED, CHAT_GENERATED, CHAT_RESPONSES)
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is a penstock?"}]


def test_ask_prints_an_answer_with_a_citation_of_the_right_document(indexed: Stack) -> None:
    asked = indexed.run("ask", "What is a penstock?", "--max-tokens", "64")
    assert asked.returncode == 0, asked.stderr
    answer, _, citations = asked.stdout.partition("Citations")
    assert "pipe" in answer
    assert "What a penstock is" in citations


def test_the_openai_package_streams_with_only_base_url_and_key(indexed: Stack) -> None:
    client = indexed.openai()
    text, finish, usage = "", None, None
    extra: dict[str, object] = {}
    stream = client.chat.completions.create(
        model=indexed.model,
        messages=QUESTION,
        max_tokens=64,
        stream=True,
        stream_options={"include_usage": True},
    )
    pieces = 0
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            pieces += bool(choice.delta.content)
            finish = choice.finish_reason or finish
            extra = chunk.model_extra or extra if finish else extra
    assert pieces > 1
    assert finish == "stop"
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    whole = client.chat.completions.create(model=indexed.model, messages=QUESTION, max_tokens=64)
    assert whole.choices[0].message.content == text  # greedy, alone in the batch
    assert extra["citations"] == (whole.choices[0].message.model_extra or {})["citations"]


def test_every_citation_quotes_its_document_exactly(indexed: Stack) -> None:
    body = indexed.post({"model": indexed.model, "messages": QUESTION, "max_tokens": 64}).json()
    citations = body["choices"][0]["message"]["citations"]
    documents = {path.read_text() for path in SAMPLE.glob("*.md")}
    assert citations
    for citation in citations:
        assert citation["title"] == "What a penstock is"
        quotes = {text[citation["start"] : citation["end"]] for text in documents}
        assert citation["quote"] in quotes


async def test_one_trace_id_stands_in_the_headers_on_all_five_topics(indexed: Stack) -> None:
    response = indexed.post({"model": indexed.model, "messages": QUESTION, "max_tokens": 8})
    request_id = request_id_of(response.json()["id"])
    assert response.headers["x-request-id"] == request_id
    found: dict[str, set[str]] = {}
    for record in await indexed.records(CHAT_TOPICS):
        envelope = envelope_of(record)
        # Pieces of text carry none: the first record of an answer says it for all.
        if envelope is not None and envelope.subject == request_id and envelope.traceparent:
            trace_id = envelope.traceparent.split("-")[1]
            found.setdefault(record.partition.topic, set()).add(trace_id)
    assert found.keys() == {topic.name for topic in CHAT_TOPICS}
    assert len(set.union(*found.values())) == 1


def test_the_trace_command_shows_the_way_of_an_answer_by_its_id(indexed: Stack) -> None:
    answer = indexed.post({"model": indexed.model, "messages": QUESTION, "max_tokens": 8}).json()
    told = indexed.run("trace", answer["id"])
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(request_id_of(answer["id"]))
    for topic in CHAT_TOPICS:
        assert f"send {topic.name}" in told.stdout
    for service in ("gateway", "tokenization", "retrieval", "generation", "postprocessing"):
        assert re.search(rf"^{service} +.*chat\.", told.stdout, re.MULTILINE), told.stdout
    for work in ("wait prefill", "prefill", "decode"):
        assert re.search(rf"^inference +{work} ", told.stdout, re.MULTILINE), told.stdout


async def test_usage_is_recorded_once_for_each_answer(indexed: Stack) -> None:
    answer = indexed.post({"model": indexed.model, "messages": QUESTION, "max_tokens": 8}).json()
    found = await indexed.records(["usage.recorded"])
    used = [json.loads(r.value or b"{}") for r in found if envelope_of(r) is not None]
    mine = [u for u in used if u["request_id"] == request_id_of(answer["id"])]
    assert [u["usage"]["completion_tokens"] for u in mine] == [answer["usage"]["completion_tokens"]]


def test_ingesting_again_replaces_and_does_not_double(indexed: Stack, tmp_path: Path) -> None:
    note = tmp_path / "zyxograph.md"
    question = {"role": "user", "content": "What does a zyxograph measure?"}

    def cited() -> list[str]:
        body = indexed.post({"model": indexed.model, "messages": [question], "max_tokens": 48}).json()
        return [c["quote"] for c in body["choices"][0]["message"]["citations"]]

    note.write_text("# The zyxograph\n\nA zyxograph measures the tension of violet springs in a clock.\n")
    assert indexed.run("ingest", str(tmp_path)).returncode == 0
    assert any("violet springs" in quote for quote in cited())
    note.write_text("# The zyxograph\n\nA zyxograph measures the humidity of cellars in old castles.\n")
    assert indexed.run("ingest", str(tmp_path)).returncode == 0
    quotes = cited()
    assert any("cellars" in quote for quote in quotes)
    assert not any("violet springs" in quote for quote in quotes)


def test_status_names_every_service(indexed: Stack) -> None:
    status = json.loads(indexed.run("status", "--json").stdout)
    states = {service["name"]: service["state"] for service in status["services"]}
    names = ["kafka", "inference", "ingestion", "tokenization", "retrieval", "generation", "postprocessing"]
    assert states == dict.fromkeys([*names, "ingestion-worker", "gateway", "observer"], "ready")
