"""``python -m e2e.operations.sizing``: what answers and documents take of disk and memory, in Markdown.

A stack of its own with the stub backend: real topics, databases and index; answers of known length. Every
figure is a difference of two looks at the files, so what a fresh stack takes is not in it.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from e2e.bench.processes import MIB, Processes
from e2e.bench.tables import Table
from e2e.faults.stand import Setup
from e2e.operations.stands import OperatedStand
from e2e.stack import ROOT
from e2e.stub.scripted import Script, mark
from penstock.messages.topics import TOPICS

CHAT = [topic.name for topic in TOPICS if topic.name.startswith("chat.")] + ["usage.recorded"]
SHORT, LONG = 50, 450
ANSWERS = 64
AT_ONCE = (1, 16)
COPIES = 4
"""So often each Markdown file of this repository is indexed, each time under another title."""


@dataclass(frozen=True)
class Look:
    """Bytes and records in each topic."""

    size: Counter[str]
    records: Counter[str]

    def since(self, before: Look) -> Look:
        """What has come since."""
        return Look(
            Counter({name: self.size[name] - before.size[name] for name in self.size}),
            Counter({name: self.records[name] - before.records[name] for name in self.records}),
        )


def look(data: Path) -> Look:
    """Read the sizes of the segments, and from their batches how many records there are."""
    size: Counter[str] = Counter()
    records: Counter[str] = Counter()
    for folder in data.iterdir():
        name = folder.name.rpartition("-")[0]
        for segment in folder.glob("*.log") if folder.is_dir() else ():
            size[name] += segment.stat().st_size
            records[name] += sum(_records(segment.read_bytes()))
    return Look(size, records)


def _records(segment: bytes) -> Iterator[int]:
    """The counts in the headers of the batches of a segment (Kafka's message format 2)."""
    at = 0
    while at + 61 <= len(segment):
        length = int.from_bytes(segment[at + 8 : at + 12])
        yield int.from_bytes(segment[at + 57 : at + 61])
        at += 12 + length


async def ask(stand: OperatedStand, name: str, tokens: int, count: int, at_once: int) -> None:
    """Ask `count` questions whose answers have `tokens` tokens, some at a time, and read the streams."""
    door, turn = stand.door(), asyncio.Semaphore(at_once)
    headers = {"authorization": f"Bearer {door.key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=120, trust_env=False) as http:

        async def one(number: int) -> None:
            question = f"How are answers kept, number {number}? {mark(Script(f'{name}-{number}', tokens))}"
            body = {"model": door.model, "stream": True, "messages": [{"role": "user", "content": question}]}
            async with turn:
                answer = await http.post(f"{stand.gateways()[0]}/v1/chat/completions", json=body)
                answer.raise_for_status()

        await asyncio.gather(*(one(number) for number in range(count)))


async def of_answers(stand: OperatedStand) -> Table:
    """Disk and records: what an answer costs, and what each of its tokens does, from two lengths."""
    rows = []
    for at_once in AT_ONCE:
        count = ANSWERS if at_once > 1 else ANSWERS // 8
        looks = {}
        for tokens in (SHORT, LONG):
            before = look(stand.data / "data")
            await ask(stand, f"size-{at_once}-{tokens}", tokens, count, at_once)
            await asyncio.sleep(2)  # the last commits and usage
            looks[tokens] = look(stand.data / "data").since(before)
        short, long = ({name: looks[n].size[name] / count for name in CHAT} for n in (SHORT, LONG))
        by_token = (sum(long.values()) - sum(short.values())) / (LONG - SHORT)
        fixed = sum(short.values()) - SHORT * by_token
        records = sum(looks[LONG].records[name] for name in CHAT) / count
        thousand = (fixed + 250 * by_token) * 4 / 1024
        rows.append(
            (
                str(at_once),
                f"{fixed / 1024:.1f}",
                f"{1000 * by_token / 1024:.0f}",
                f"**{thousand:.0f}**",
                f"{records:.0f}",
            )
        )
    return Table(
        "Disk of answers",
        (
            "answers at once",
            "KiB a request",
            "KiB per 1,000 tokens",
            "both, in 4 answers of 250 tokens",
            "records an answer of 450 tokens",
        ),
        rows,
        "All topics of the line, one copy, not compressed. A request: its question three times, its passages,"
        " start and end. Tokens: the pieces in chat.generated and chat.responses.",
    )


async def of_documents(stand: OperatedStand, folder: Path) -> Table:
    """What 1,000 chunks take, by where."""
    _write_corpus(folder)
    before = _disk(stand)
    said = await stand.penstock("ingest", str(folder))
    found = re.search(r"(\d+) documents indexed: (\d+) chunks", said)
    assert found, said
    await asyncio.sleep(5)
    after, chunks = _disk(stand), int(found[2])
    rows = [("text of the files", f"{_used(folder) / MIB / chunks * 1000:.1f}")]
    rows += [(name, f"{(after[name] - before[name]) / MIB / chunks * 1000:.1f}") for name in after]
    return Table(
        "Disk of documents, for 1,000 chunks",
        ("where", "MiB"),
        rows,
        f"{found[1]} Markdown files, {chunks} chunks. The index is one replica's.",
    )


def _write_corpus(folder: Path) -> None:
    tops = ("docs", "libs", "services", "contracts", "e2e", "infra")
    files = [file for top in tops for file in sorted((ROOT / top).glob("**/*.md"))]
    for copy in range(COPIES):
        for number, file in enumerate(files):
            body = f"# Edition {copy}\n\n{file.read_text(encoding='utf-8')}"
            (folder / f"{copy}-{number}.md").write_text(body, encoding="utf-8")


def _disk(stand: OperatedStand) -> dict[str, int]:
    state = stand.state.folder
    kafka = look(stand.data / "data").size
    return {
        "Kafka, documents.*": sum(size for name, size in kafka.items() if name.startswith("documents.")),
        "blobs: files, chunks": _used(state / "ingestion" / "blobs"),
        "documents database": _used(state / "ingestion", "documents.db*"),
        "index": _used(state / "index"),
    }


def _used(folder: Path, pattern: str = "**/*") -> int:
    """Bytes of disk: what is not written of a file takes none."""
    return sum(512 * path.stat().st_blocks for path in folder.glob(pattern) if path.is_file())


def memory(stand: OperatedStand) -> dict[str, float]:
    """MiB of each process."""
    pids = {service.name: service.pid for service in stand.status().services if service.pid}
    return {name: used.size / MIB for name, used in Processes(pids).memory().items()}


async def measure(folder: Path) -> list[Table]:
    """All tables."""
    stand = OperatedStand(Setup(deadline_s=300, inter_ms=10), folder / "stack")
    documents = folder / "documents"
    documents.mkdir()
    try:
        await stand.start()
        await asyncio.sleep(10)
        idle = memory(stand)
        tables = [await of_documents(stand, documents)]
        most: dict[str, float] = defaultdict(float)

        async def watch() -> None:
            while True:
                for name, used in memory(stand).items():
                    most[name] = max(most[name], used)
                await asyncio.sleep(3)

        watching = asyncio.create_task(watch())
        tables.insert(0, await of_answers(stand))
        await ask(stand, "load", 200, 256, 64)
        watching.cancel()
        rows = [(name, f"{used:.0f}", f"{most[name]:.0f}") for name, used in idle.items()]
        rows.append(("together", f"{sum(idle.values()):.0f}", f"{sum(most.values()):.0f}"))
        note = "The most that was seen; 64 answers at once at the end. pss, of Kafka rss."
        return [*tables, Table("Memory", ("process", "MiB idle", "MiB under load"), rows, note)]
    finally:
        await stand.stop()


def main() -> None:
    """Measure, and print the tables."""
    with tempfile.TemporaryDirectory(prefix="penstock-sizing-") as folder:
        for table in asyncio.run(measure(Path(folder))):
            sys.stdout.write(f"{table.markdown()}\n")


if __name__ == "__main__":
    main()
