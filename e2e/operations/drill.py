"""``python -m e2e.operations.drill``: breaks a stack of its own on purpose, and says what was seen.

Each exercise is one that docs/disasters.md tells an operator to practise. What should have been seen and was
not makes exit code 1.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import httpx2

from e2e.faults.stand import Setup
from e2e.operations.api import Api, said
from e2e.operations.postgres import CAN_BE_STOPPED, Server, postgres
from e2e.operations.stands import OperatedStand
from e2e.stack import ROOT
from e2e.stub.scripted import Script, expected

QUERY = "what holds water back"


def _publish_all() -> str:
    """Return the SQL by which docs/backup.md has every document written to the log once more."""
    told = (ROOT / "docs" / "backup.md").read_text()
    return told.partition("BEGIN;\n")[2].partition("COMMIT;\n")[0]


class Drill:
    """One stack and what is tried on it."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._settings = settings
        self.stand = self._stand()
        self.failed = 0

    def _stand(self) -> OperatedStand:
        setup = Setup(settings=self._settings, deadline_s=300, inter_ms=40)
        return OperatedStand(setup, self._folder / "stack")

    def see(self, what: str, *, right: bool) -> None:
        """Write down what was seen."""
        self.failed += not right
        sys.stdout.write(f"    {'seen' if right else 'NOT SEEN'}: {what}\n")
        sys.stdout.flush()

    async def prepare(self) -> None:
        """Start it with documents."""
        await self.stand.start()
        await self.stand.penstock("ingest", str(ROOT / "e2e" / "sample"))

    async def restart(self) -> None:
        """Start it again after `down`."""
        await self.stand.stop()
        self.stand = self._stand()
        await self.stand.start()

    async def broker_killed(self) -> None:
        """kill -9 of Kafka while an answer streams: it is started again, and the answer ends as it should."""
        api, script = Api(self.stand), Script("broker", 250)
        request_id = api.begin(script)
        began = time.monotonic()
        kill(self.stand, "kafka")
        asked = await asyncio.to_thread(api.try_ask, Script("while-away", 10))
        waited = time.monotonic() - began
        self.see(f"a new question meanwhile: HTTP {asked} after {waited:.1f} s", right=asked in (200, 503))
        await self.stand.until_ready()
        self.see(f"all is ready again after {time.monotonic() - began:.0f} s", right=True)
        text = said(await api.finished(request_id))[0]
        self.see("the answer that was open is whole", right=text == expected(script).text.strip())
        began = time.monotonic()
        taken = await self._until(lambda: api.try_ask(Script("after", 10)) == 200, 60)
        self.see(f"a new question is answered, {time.monotonic() - began:.1f} s of trying later", right=taken)

    async def index_lost(self) -> None:
        """The index's folder is removed and its process killed: it is read anew from the log."""
        api = Api(self.stand)
        before = api.search(QUERY)
        began = time.monotonic()
        shutil.rmtree(self.stand.state.folder / "index")
        kill(self.stand, "retrieval")
        await asyncio.sleep(1.5)
        await self.stand.until_ready()
        self.see(f"retrieval is ready {time.monotonic() - began:.0f} s later", right=True)
        self.see("it finds what it found before", right=bool(before) and api.search(QUERY) == before)

    async def database_lost(self, server: Server) -> None:
        """PostgreSQL is gone: known keys go on, the rest waits for it."""
        api = Api(self.stand)
        api.ask(Script("known", 10))
        await asyncio.to_thread(server.stop)
        codes = {"a question": api.try_ask(Script("no-database", 10)), "documents": api.try_stores()}
        self.see(f"without it: HTTP {codes}", right=codes == {"a question": 200, "documents": 503})
        await asyncio.to_thread(server.start)
        began = time.monotonic()
        back = await self._until(
            lambda: api.try_stores() == 200 and api.try_ask(Script("back", 10)) == 200, 60
        )
        self.see(
            f"all works {time.monotonic() - began:.0f} s after it is back, nothing restarted", right=back
        )

    async def kafkas_disk_lost(self) -> None:
        """The log is gone, databases, blobs and index are there: old answers are lost, documents are not."""
        api = Api(self.stand)
        old, before = api.ask(Script("old", 10))["id"], api.search(QUERY)
        await self.stand.penstock("down")
        shutil.rmtree(self.stand.state.folder / "kafka")
        await self.restart()
        api = Api(self.stand)
        self.see(f"an old answer: HTTP {api.status(old)}", right=api.status(old) == 404)
        self.see("the index, on its own disk, still finds", right=api.search(QUERY) == before)
        self.see("a new question is answered", right=api.try_ask(Script("new", 10)) == 200)

    async def log_and_index_lost(self) -> None:
        """The index, too: every document is published again from blobs and database."""
        api = Api(self.stand)
        before = api.search(QUERY)
        await self.stand.penstock("down")
        shutil.rmtree(self.stand.state.folder / "kafka")
        shutil.rmtree(self.stand.state.folder / "index")
        await self.restart()
        self.see("an empty index, and nothing to make it from", right=Api(self.stand).search(QUERY) == [])
        await self.stand.penstock("down")
        with closing(sqlite3.connect(self.stand.state.folder / "ingestion" / "documents.db")) as database:
            database.executescript(_publish_all())
        began = time.monotonic()
        await self.restart()
        api = Api(self.stand)
        found = await self._until(lambda: len(api.search(QUERY)) == len(before), 120)
        took = time.monotonic() - began
        self.see(f"published again: all documents are found {took:.0f} s after the start began", right=found)
        self.see("and what is found is the same", right=api.search(QUERY) == before)

    @staticmethod
    async def _until(holds: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if await asyncio.to_thread(_holds, holds):
                return True
            await asyncio.sleep(0.5)
        return False


def _holds(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except httpx2.HTTPError:
        return False


def kill(stand: OperatedStand, name: str) -> None:
    """kill -9."""
    pid = stand.pid(name)
    assert pid is not None, f"{name} does not run"
    os.kill(pid, signal.SIGKILL)


async def on_sqlite(folder: Path) -> int:
    """Exercises on a stack whose databases are in its state folder; returns how many sights were missing."""
    drill = Drill(folder, {})
    try:
        await drill.prepare()
        for work in (drill.broker_killed, drill.index_lost, drill.kafkas_disk_lost, drill.log_and_index_lost):
            say(work.__doc__)
            await work()
    finally:
        await drill.stand.stop()
    return drill.failed


async def on_postgres(folder: Path, server: Server, settings: Mapping[str, str]) -> int:
    """The one that needs a server; returns how many sights were missing."""
    drill = Drill(folder, settings)
    try:
        await drill.prepare()
        say(drill.database_lost.__doc__)
        await drill.database_lost(server)
    finally:
        await drill.stand.stop()
    return drill.failed


def say(doc: str | None) -> None:
    """Say what is done next."""
    sys.stdout.write(f"{doc}\n")
    sys.stdout.flush()


def main() -> None:
    """All exercises; that of PostgreSQL where the machine has it."""
    with tempfile.TemporaryDirectory(prefix="penstock-drill-") as temporary:
        failed = asyncio.run(on_sqlite(Path(temporary, "sqlite")))
        if not CAN_BE_STOPPED:
            say("PostgreSQL is gone: left out, it is not installed here.")
        else:
            with postgres(Path(temporary, "server")) as server:
                folder, settings = Path(temporary, "postgresql"), server.databases()
                failed += asyncio.run(on_postgres(folder, server, settings))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
