"""Documents on the real stack: files of all kinds in, found and cited; each exactly once, whatever dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from e2e.documents import fact, pdf_of, write_all, write_bad
from e2e.stack import PENSTOCK, Stack
from penstock.messages.documents import DocumentChunked, DocumentStateChanged
from penstock.messages.topics import DOCUMENTS_CHUNKED, DOCUMENTS_STATES, Topic
from penstock.streaming.adapters.kafka import open_producer
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.records import decode, takes_back

VICTIMS = ("ingestion-worker", "retrieval", "ingestion-worker", "ingestion", "kafka")
FILES_A_KILL = 10


def test_files_of_all_kinds_are_found_and_the_bad_ones_say_why(stack: Stack, tmp_path: Path) -> None:
    facts = write_all(tmp_path, 8)
    bad = write_bad(tmp_path)
    ingested = stack.run("ingest", str(tmp_path), seconds=240)
    assert ingested.returncode == 1, ingested.stdout + ingested.stderr
    assert f"8 documents indexed, {len(bad)} failed" in ingested.stdout
    for name in bad:
        assert name in ingested.stdout
    for name, sentence in facts.items():
        query = sentence.split()[1]
        [best, *_] = json.loads(stack.run("documents", "search", query, "--json").stdout)
        assert best["filename"] == name
        assert query in best["content"][0]["text"]
    again = stack.run("ingest", str(tmp_path), seconds=240)
    assert "8 unchanged" in again.stdout


def test_an_answer_cites_the_page_of_the_file(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "zorb.pdf").write_bytes(
        pdf_of(["A first page.", "The zorbulator of Lake Ohm turns eleven wheels."])
    )
    assert stack.run("ingest", str(tmp_path)).returncode == 0
    question = {"role": "user", "content": "What does the zorbulator of Lake Ohm turn?"}
    body = stack.post({"model": stack.model, "messages": [question], "max_tokens": 48}).json()
    cited = body["choices"][0]["message"]["citations"]
    assert any(c["filename"] == "zorb.pdf" and c["page"] == 2 for c in cited), body


def test_a_deleted_document_is_found_no_more(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("# Secret\n\nThe vorpaline is kept under the third stone.\n")
    assert stack.run("ingest", str(tmp_path)).returncode == 0
    assert _files_found(stack, "vorpaline") == ["secret.md"]
    assert stack.run("documents", "delete", "secret.md").returncode == 0
    deadline = time.monotonic() + 20
    while _files_found(stack, "vorpaline") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "secret.md" not in _files_found(stack, "vorpaline")


async def test_the_text_of_a_deleted_document_leaves_the_log_and_all_other_text_stays(
    stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "secret.md").write_text("# Secret\n\nThe flumberquill is kept under the fourth stone.\n")
    sentences = [
        f"The weir number {n} holds {n * 3} cubits of the wexlium{n} of the valley." for n in range(420)
    ]
    client = stack.openai()
    kept = client.files.create(file=("kept.md", "\n\n".join(sentences).encode()), purpose="assistants")
    indexed = client.vector_stores.files.create_and_poll(
        kept.id,
        vector_store_id="vs_default",
        chunking_strategy={
            "type": "static",
            "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0},
        },
    )
    assert indexed.status == "completed"
    assert stack.run("ingest", str(tmp_path)).returncode == 0
    assert await _in_log(stack, b"flumberquill") == {"record", "file"}
    _compact_after(stack, 1_000)
    try:
        assert stack.run("documents", "delete", "secret.md").returncode == 0
        deadline = time.monotonic() + 180
        while await _in_log(stack, b"flumberquill") and time.monotonic() < deadline:
            await _write_something(stack)  # Kafka closes a segment only when there is a next record
            await asyncio.sleep(2)
        assert await _in_log(stack, b"flumberquill") == set()
    finally:
        await ensure_topics(stack.status.kafka)
    parts = {
        (event.part, event.parts)
        for event in await _events(stack, DOCUMENTS_CHUNKED)
        if isinstance(event, DocumentChunked) and event.file_name == "kept.md"
    }
    assert len(parts) > 1
    assert parts == {(part, len(parts)) for part in range(len(parts))}
    assert stack.run("reindex", seconds=240).returncode == 0
    assert _files_found(stack, "flumberquill") == []
    for word in ("wexlium0", "wexlium419"):
        assert _files_found(stack, word) == ["kept.md"]


async def _in_log(stack: Stack, word: bytes) -> set[str]:
    """Where a word stands in documents.chunked: in a record that can be read, in a file of the broker."""
    records = await stack.records([DOCUMENTS_CHUNKED])
    files = (stack.state.folder / "kafka").glob(f"**/{DOCUMENTS_CHUNKED.name}-*/*.log*")
    return {
        *("record" for record in records if word in (record.value or b"")),
        *("file" for file in files if word in _bytes(file)),
    }


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # Kafka has removed it just now
        return b""


def _compact_after(stack: Stack, lag_ms: int) -> None:
    configs = {"max.compaction.lag.ms": str(lag_ms), "file.delete.delay.ms": "1000"}
    admin = KafkaAdminClient(bootstrap_servers=stack.status.kafka)
    admin.alter_configs([ConfigResource("TOPIC", DOCUMENTS_CHUNKED.name, configs)])
    admin.close()


async def _write_something(stack: Stack) -> None:
    producer = await open_producer(stack.status.kafka)
    for number in range(DOCUMENTS_CHUNKED.partitions):
        await producer.send(DOCUMENTS_CHUNKED.name, b"nothing", None, [], number)
    await producer.close()


def _files_found(stack: Stack, word: str) -> list[str]:
    found = json.loads(stack.run("documents", "search", word, "--json").stdout)
    return [one["filename"] for one in found if word in one["content"][0]["text"]]


def test_the_openai_package_drives_stores_and_a_chat_searches_the_one_it_names(stack: Stack) -> None:
    client = stack.openai()
    store = client.vector_stores.create(name="birds")
    batch = client.vector_stores.file_batches.upload_and_poll(
        store.id,
        files=[
            ("heron.md", b"# Herons\n\nThe grindlewax heron sleeps on one leg beside the weir.\n"),
            ("owl.md", b"# Owls\n\nThe grindlewax owl counts its feathers at noon.\n"),
        ],
    )
    assert (batch.status, batch.file_counts.completed) == ("completed", 2)
    files = {(f.model_extra or {})["filename"]: f.id for f in client.vector_stores.files.list(store.id)}
    client.vector_stores.files.update(
        files["owl.md"], vector_store_id=store.id, attributes={"kind": "owl", "year": 2025}
    )
    client.vector_stores.files.poll(files["owl.md"], vector_store_id=store.id)
    only = client.vector_stores.search(
        store.id, query="grindlewax", filters={"type": "eq", "key": "kind", "value": "owl"}
    )
    assert {found.filename for found in only.data} == {"owl.md"}
    question = {"role": "user", "content": "What does the grindlewax heron do?"}
    for named, cites in (({"vector_store_ids": [store.id]}, True), ({}, False)):
        body = {"model": stack.model, "messages": [question], "max_tokens": 32, **named}
        cited = stack.post(body).json()["choices"][0]["message"]["citations"]
        assert any(c["filename"] == "heron.md" for c in cited) is cites
    client.vector_stores.delete(store.id)


def test_a_new_index_is_made_while_searches_go_on(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "lasting.md").write_text("# Lasting\n\nThe blimmerstone outlasts every index.\n")
    assert stack.run("ingest", str(tmp_path)).returncode == 0
    client = stack.openai()
    running = subprocess.Popen([PENSTOCK, "reindex"], env=stack.env, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own command
    searches = 0
    while running.poll() is None:
        found = client.vector_stores.search("vs_default", query="blimmerstone").data
        assert "lasting.md" in {one.filename for one in found}
        searches += 1
    assert running.returncode == 0
    assert "made anew" in running.communicate()[0]
    assert searches > 0
    assert _files_found(stack, "blimmerstone") == ["lasting.md"]


def test_whatever_is_killed_every_file_is_indexed_exactly_once(stack: Stack, tmp_path: Path) -> None:
    client = stack.openai()
    folder = tmp_path / "files"
    folder.mkdir()
    bad = write_bad(folder)
    calm, rough = (client.vector_stores.create(name=name).id for name in ("calm", "rough"))
    facts: dict[str, str] = {}
    for victim in VICTIMS:
        facts |= write_all(folder, FILES_A_KILL, first=len(facts))
        _kill_amid_ingest(stack, folder, rough, victim)
    _ingest_until_done(stack, folder, rough, len(facts))
    _ingest_until_done(stack, folder, calm, len(facts))
    expected, found = [asyncio.run(_chunk_ids(stack, store)) for store in (calm, rough)]
    assert found == expected
    assert expected.keys() == facts.keys()
    assert _states(stack, rough) == {**dict.fromkeys(facts, "completed"), **dict.fromkeys(bad, "failed")}
    for store in (calm, rough):
        client.vector_stores.delete(store)


def _kill_amid_ingest(stack: Stack, folder: Path, store: str, victim: str) -> None:
    """Kill a process as soon as some of the files are in work; the command may succeed nevertheless."""
    files = stack.openai().vector_stores.files
    running = subprocess.Popen(  # noqa: S603  # our own command
        [PENSTOCK, "ingest", str(folder), "--store", store],
        env=stack.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not files.list(store, filter="in_progress").data:
        assert running.poll() is None, "nothing was in work before all had ended"
        time.sleep(0.05)
    pid = next(s.pid for s in stack.status.services if s.name == victim)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert running.poll() is None, "all had ended before the kill"
    running.wait(180)
    _until_ready(stack)


def _ingest_until_done(stack: Stack, folder: Path, store: str, good: int) -> None:
    """Ingest, again where what was killed has made it fail, until all good files are indexed."""
    for _ in range(3):
        said = stack.run("ingest", str(folder), "--store", store, seconds=300).stdout
        if sum(state == "completed" for state in _states(stack, store).values()) == good:
            return
    raise AssertionError(said)


def _until_ready(stack: Stack) -> None:
    deadline = time.monotonic() + 120
    while not stack.status.ready:
        assert time.monotonic() < deadline, stack.status
        time.sleep(0.2)


def _states(stack: Stack, store: str) -> dict[str, str]:
    listed = stack.run("documents", "list", "--store", store, "--json")
    return {entry["filename"]: entry["status"] for entry in json.loads(listed.stdout)}


async def _chunk_ids(stack: Stack, store: str) -> dict[str, set[str]]:
    """The chunks of the last version of each document of a store, by file name, from the log."""
    last: dict[str, DocumentChunked] = {}
    chunks: dict[tuple[str, int], set[str]] = {}
    for event in await _events(stack, DOCUMENTS_CHUNKED):
        if isinstance(event, DocumentChunked) and event.store_id == store:
            chunks.setdefault((event.document_id, event.version), set()).update(
                c.chunk_id for c in event.chunks
            )
            known = last.get(event.document_id)
            last[event.document_id] = event if known is None or known.version <= event.version else known
    return {event.file_name: chunks[event.document_id, event.version] for event in last.values()}


async def test_every_state_of_a_document_is_in_the_log(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "states.md").write_text(f"# States\n\n{fact(999)}\n")
    assert stack.run("ingest", str(tmp_path)).returncode == 0
    states = [""]
    deadline = time.monotonic() + 30
    while states[-1] != "completed" and time.monotonic() < deadline:  # the command does not wait for the log
        states = [
            event.state
            for event in await _events(stack, DOCUMENTS_STATES)
            if isinstance(event, DocumentStateChanged) and event.file_name == "states.md"
        ] or [""]
    assert (states[0], states[-1]) == ("queued", "completed")


async def _events(stack: Stack, topic: Topic) -> list[object]:
    found = await stack.records([topic])
    return [decode(record, topic).event for record in found if not takes_back(record, topic)]
