"""Containers are killed one by one while clients read: no answer is lost, doubled or changed.

The clients and their answers, known beforehand, are those of e2e/faults; what is killed are containers.
"""

import asyncio
import time
from random import Random

import pytest

from e2e.compose.engine import OURS, Compose, docker, eventually
from e2e.faults.asks import MIXED, Kind, Load
from e2e.faults.client import Door
from e2e.faults.invariants import wrong_bytes
from e2e.faults.load import Clients
from e2e.faults.seen import Seen

DEADLINE_S = 120.0
BACK_S = 90.0
LINE = ("tokenization", "retrieval", "generation", "postprocessing", "gateway")
PARTS = ("kafka", "postgres", "redis")
BESIDE = ("worker", "observer", "ingestion", "inference", "stub")


def _door(stack: Compose) -> Door:
    url = stack.url  # not asked for again: a container that is being started again has no ports
    return Door(lambda: [url], stack.key, stack.openai().models.list().data[0].id, DEADLINE_S)


async def _under_load(stack: Compose, name: str, fault: str) -> list[Seen]:
    """Let clients ask, crash the service of that name, wait until it is back, and let them ask on."""
    clients = Clients(_door(stack), Load(streams=8, shares=MIXED), name, Random(name))  # noqa: S311  drawn again
    stop = asyncio.Event()
    load = asyncio.create_task(clients.run(stop))
    try:
        await asyncio.sleep(6)
        before = await asyncio.to_thread(stack.inspect, fault)
        await asyncio.to_thread(stack.crash, fault)

        def back() -> bool:
            now = stack.inspect(fault)
            return now["RestartCount"] > before["RestartCount"] and stack.healthy(fault)

        await asyncio.to_thread(eventually, back, BACK_S, f"{fault} is back")
        await asyncio.sleep(6)
    finally:
        stop.set()
        await load
    return clients.seen


def _wrong(one: Seen) -> list[str]:
    """What is wrong with what one client saw."""
    found = [violation.found for violation in wrong_bytes(one, known_texts=True)]
    if one.other_ids:
        found.append(f"one question became {1 + len(one.other_ids)} requests")
    if one.end is None or one.end.state in ("lost", "refused", "failed"):
        found.append(f"ended {one.end}; {one.troubles[-3:]}")
    return [f"{one.ask.key} ({one.ask.kind.value}): {problem}" for problem in found]


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("service", [*LINE, *PARTS, *BESIDE])
def test_whatever_is_killed_every_client_gets_its_one_answer(with_stub: Compose, service: str) -> None:
    seen = asyncio.run(_under_load(with_stub, f"{service}-{time.time_ns()}", service))
    problems = [problem for one in seen for problem in _wrong(one)]
    assert not problems, "\n".join(problems[:10])
    completed = [one for one in seen if one.end is not None and one.end.state == "completed"]
    assert len(completed) > 8
    assert {one.ask.kind for one in completed} >= {Kind.STREAM, Kind.WHOLE}
    if service == "gateway":
        assert sum(one.resumed for one in seen) > 0


@pytest.mark.usefixtures("stack")
def test_an_answer_goes_on_when_generation_is_stopped_and_started(with_stub: Compose) -> None:
    """`docker stop` is SIGTERM: it hands over what it writes and ends by itself, well within its grace."""
    name = f"stopped-{time.time_ns()}"

    async def stopped_under_load() -> list[Seen]:
        clients = Clients(_door(with_stub), Load(streams=6, tokens=(80, 160)), name, Random(3))  # noqa: S311
        stop = asyncio.Event()
        load = asyncio.create_task(clients.run(stop))
        await asyncio.sleep(5)
        await asyncio.to_thread(docker, "stop", with_stub.container("generation"))
        state = with_stub.inspect("generation")["State"]
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
        await asyncio.sleep(2)
        await asyncio.to_thread(docker, "start", with_stub.container("generation"))
        await asyncio.sleep(10)
        stop.set()
        await load
        return clients.seen

    seen = asyncio.run(stopped_under_load())
    problems = [problem for one in seen for problem in _wrong(one)]
    assert not problems, "\n".join(problems[:10])
    assert any(one.longest_pause() > 1.5 and one.end and one.end.state == "completed" for one in seen)


@pytest.mark.parametrize("service", OURS)
@pytest.mark.usefixtures("stack")
def test_it_ends_by_itself_when_it_is_told_to(with_stub: Compose, service: str) -> None:
    container = with_stub.container(service)
    docker("stop", container)
    assert with_stub.inspect(service)["State"]["ExitCode"] == 0
    docker("start", container)


def test_a_document_is_worked_on_though_its_worker_and_its_queue_die(
    stack: Compose, with_stub: Compose
) -> None:
    client = stack.openai()
    store = client.vector_stores.create(name=f"killed-{time.time_ns()}")
    texts = [
        (f"note-{n}.md", f"# Note {n}\n\n{'The gate of weir ' + str(n) + ' is closed. ' * 40}\n")
        for n in range(8)
    ]
    files = [client.files.create(file=(name, text.encode()), purpose="assistants") for name, text in texts]
    client.vector_stores.file_batches.create(store.id, file_ids=[file.id for file in files])
    for service in ("worker", "redis", "worker"):
        with_stub.crash(service)
        time.sleep(1)

    def done() -> bool:
        counts = client.vector_stores.retrieve(store.id).file_counts
        return counts.completed == len(texts) and counts.failed == 0

    eventually(done, 150, "all documents are indexed")
    found = client.vector_stores.search(store.id, query="gate of weir 5", max_num_results=8)
    places = [(hit.filename, hit.content[0].text) for hit in found.data]
    assert len(set(places)) == len(places)  # none twice
    client.vector_stores.delete(store.id)
