"""A producer that has given up a record says so: kafka-python's writes none after that."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from penstock.devstack.kafka import Broker, _wait_until_it_answers, broker_in
from penstock.messages.topics import CHAT_REQUESTS
from penstock.streaming.adapters.kafka import open_producer, producer
from penstock.streaming.admin import ensure_topics
from penstock.streaming.ports import BrokerError


def _start(broker: Broker) -> "subprocess.Popen[bytes]":
    command = broker.java_command("kafka.Kafka", str(broker.properties))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  ours
    _wait_until_it_answers(broker, process)
    return process


async def test_it_is_broken_once_a_record_was_given_up_and_a_new_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "_DELIVERY_MS", 4_000)
    broker = broker_in(tmp_path)
    broker.write_properties()
    await asyncio.to_thread(broker.format)
    process = await asyncio.to_thread(_start, broker)
    try:
        await ensure_topics(broker.bootstrap, [CHAT_REQUESTS])
        first = await open_producer(broker.bootstrap, [CHAT_REQUESTS.name])
        await first.send(CHAT_REQUESTS.name, b"a", b"1", [], 0)
        assert not first.broken
        # It is sent, and no answer ever comes.
        os.kill(process.pid, signal.SIGSTOP)
        lost = first.send(CHAT_REQUESTS.name, b"a", b"2", [], 0)
        await asyncio.sleep(0.5)
        process.kill()
        process.wait()
        with pytest.raises(BrokerError):
            await asyncio.wait_for(lost, 30)
        assert first.broken
        process = await asyncio.to_thread(_start, broker)
        second = await open_producer(broker.bootstrap, [CHAT_REQUESTS.name])
        await asyncio.wait_for(second.send(CHAT_REQUESTS.name, b"a", b"3", [], 0), 30)
        assert not second.broken
        await second.close()
        await first.close()
    finally:
        process.kill()
        process.wait()
