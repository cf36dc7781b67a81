"""More partitions for the chat topics: what was answered before can be read, and the new ones are used."""

import asyncio
import os
import re
import shutil
import signal
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from e2e.faults.stand import Setup, StandError
from e2e.operations.api import Api, said
from e2e.operations.stands import OperatedStand
from e2e.stack import ROOT
from e2e.stub.scripted import Script, expected
from penstock.messages.ids import request_id_of
from penstock.messages.topics import (
    CHAT_GENERATED,
    CHAT_PARTITIONS,
    CHAT_REQUESTS,
    CHAT_RETRIEVED,
    CHAT_TOKENIZED,
)
from penstock.streaming.adapters.kafka import open_reader
from penstock.streaming.ports import Partition

COUNT = CHAT_PARTITIONS + 4
LINE = (CHAT_REQUESTS, CHAT_TOKENIZED, CHAT_RETRIEVED, CHAT_GENERATED)
REPLICAS = {"generation": 2, "gateway": 2}


def with_more_partitions(folder: Path) -> Path:
    """A copy of libs/messages whose numbers are greater: the change that an operator makes."""
    source = folder / "src"
    shutil.copytree(ROOT / "libs" / "messages" / "src", source)
    topics = source / "penstock" / "messages" / "topics.py"
    text, changed = re.subn(
        r"(?m)^(CHAT|REPLY)_PARTITIONS = \d+$", rf"\1_PARTITIONS = {COUNT}", topics.read_text()
    )
    assert changed == 2
    topics.write_text(text)
    return source


async def places(stand: OperatedStand) -> Mapping[str, dict[str, set[int]]]:
    """In which partitions of which topic each request has records."""
    partitions = [Partition(topic.name, n) for topic in LINE for n in range(COUNT)]
    reader = await open_reader(stand.status().kafka, partitions, "beginning")
    found: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    try:
        while batch := await reader.poll(2.0):
            for record in batch:
                if record.key:
                    found[record.key.decode()][record.partition.topic].add(record.partition.number)
    finally:
        await reader.close()
    return found


async def test_the_chat_topics_get_more_partitions(tmp_path: Path) -> None:
    old = OperatedStand(Setup(REPLICAS, deadline_s=300), tmp_path / "stack")
    more = {"PYTHONPATH": str(with_more_partitions(tmp_path / "more"))}
    new = OperatedStand(Setup(REPLICAS, settings=more, deadline_s=300), tmp_path / "stack")
    try:
        await old.start()
        api = Api(old)
        asked = [api.ask(Script(f"before-{number}", 30), key=f"before-{number}") for number in range(12)]
        kept = {one["id"]: (api.answer(one["id"]).content, api.stream(one["id"], 5)) for one in asked}
        unfinished = api.begin(Script("open", 600))
        with pytest.raises(StandError, match=r"requests are open \(\d+ records of chat\."):
            await new.penstock("topics", "grow")
        await api.finished(unfinished)
        grown = await until_grown(new)
        assert grown.count(f"{CHAT_PARTITIONS} -> {COUNT} partitions") == 5
        assert "No topic has too few partitions" in await new.penstock("topics", "grow")
        with pytest.raises(StandError, match="Kafka takes none away"):
            await old.penstock("topics", "grow")
        await new.penstock("down")
    finally:
        await old.stop()
    try:
        await new.start()
        api = Api(new)
        assert {i: (api.answer(i).content, api.stream(i, 5)) for i in kept} == kept
        assert api.ask(Script("before-0", 30), key="before-0")["id"] == asked[0]["id"]
        scripts = [Script(f"after-{number}", 30) for number in range(24)]
        after = [api.ask(script) for script in scripts]
        assert [said(one)[0] for one in after] == [expected(script).text.strip() for script in scripts]
        assert said(await cut_and_gone_on(new, api))[0] == expected(Script("cut", 300)).text.strip()

        found = await places(new)
        for one in after:
            used = found[request_id_of(one["id"])]
            assert len(used) == len(LINE)
            assert len(set.union(*used.values())) == 1, "the topics of the line are partitioned alike"
        numbers = {min(found[request_id_of(one["id"])][CHAT_REQUESTS.name]) for one in after}
        assert max(numbers) >= CHAT_PARTITIONS, "new partitions are used"
    finally:
        await new.stop()


async def until_grown(stand: OperatedStand) -> str:
    """What the command says when the last commits of the line have come."""
    for _ in range(40):
        try:
            return await stand.penstock("topics", "grow")
        except StandError as error:
            if "requests are open" not in str(error):
                raise
            await asyncio.sleep(0.5)
    raise AssertionError("requests stayed open")


async def cut_and_gone_on(stand: OperatedStand, api: Api) -> dict[str, object]:
    """An answer whose generation replicas are killed in the middle."""
    request_id = api.begin(Script("cut", 300))
    await asyncio.sleep(2)
    for name in stand.names("generation"):
        pid = stand.pid(name)
        assert pid
        os.kill(pid, signal.SIGKILL)
    return await api.finished(request_id)
