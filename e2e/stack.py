"""A running stack, as its user has it: the command, the REST API, the topics."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
from openai import OpenAI

from penstock.devstack.state import StackStatus, StateDir
from penstock.messages.topics import TOPICS, Topic
from penstock.streaming.adapters import kafka
from penstock.streaming.ports import Partition, Record

ROOT = Path(__file__).parent.parent
PENSTOCK = str(Path(sys.executable).with_name("penstock"))


@dataclass
class Stack:
    """The environment in which it was started, and where its state lies."""

    env: Mapping[str, str]
    state: StateDir

    @property
    def status(self) -> StackStatus:
        status = self.state.read()
        assert status is not None
        return status

    @property
    def key(self) -> str:
        return self.state.api_key.read_text().strip()

    def run(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the penstock command."""
        return subprocess.run(  # noqa: S603  # our own command
            [PENSTOCK, *arguments], env=self.env, capture_output=True, text=True, timeout=seconds, check=False
        )

    def openai(self) -> OpenAI:
        return OpenAI(base_url=f"{self.status.gateway}/v1", api_key=self.key, max_retries=0)

    def post(self, body: Mapping[str, object] | bytes, key: str | None = None) -> httpx2.Response:
        """Send a chat request, as it is if it is bytes."""
        headers = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json"}
        url = f"{self.status.gateway}/v1/chat/completions"
        if isinstance(body, bytes):
            return httpx2.post(url, content=body, headers=headers, timeout=60, trust_env=False)
        return httpx2.post(url, json=body, headers=headers, timeout=60, trust_env=False)

    @property
    def model(self) -> str:
        return self.openai().models.list().data[0].id

    async def records(self, topics: Sequence[str | Topic] = TOPICS) -> list[Record]:
        """Return all records that lie in topics now."""
        names = {t.name if isinstance(t, Topic) else t for t in topics}
        counts = {t.name: t.partitions for t in TOPICS} | {t.dlq: 1 for t in TOPICS}
        partitions = [Partition(name, n) for name in names for n in range(counts[name])]
        reader = await kafka.open_reader(self.status.kafka, partitions, "end")
        try:
            ends = {partition: reader.position(partition) for partition in partitions}
            await reader.read(dict.fromkeys(partitions, "beginning"))
            found: list[Record] = []
            while any(reader.position(partition) < end for partition, end in ends.items()):
                if not (batch := await reader.poll(5.0)):
                    break  # compaction has taken the last ones
                found += batch
            return found
        finally:
            await reader.close()
