"""A stack is wiped and brought back from its backup: the same answers, index, keys, and what was open."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from e2e.faults.stand import Setup, StandError
from e2e.operations.api import Api, said
from e2e.operations.stands import OperatedStand
from e2e.stack import ROOT
from e2e.stub.scripted import Script, expected
from libs.database.tests.servers import POSTGRES, new_database, program, running_postgres

REPLICAS = {"retrieval": 2}
LONG = Script("open-at-the-end", 200)
QUESTIONS = [Script(f"kept-{number}", 20 + number) for number in range(4)]


class Databases:
    """Where accounts and documents are, as settings; and how they are kept and brought back."""

    settings: Mapping[str, str] = {}

    def dump(self, folder: Path) -> None:
        """Nothing: SQLite's files are in the state folder."""

    def lose_and_load(self, folder: Path) -> None:
        """Nothing either."""


class Postgres(Databases):
    """PostgreSQL's own programs."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._new()

    def _new(self) -> None:
        names = ("PENSTOCK_ACCOUNTS_DB", "PENSTOCK_DOCUMENTS_DB")
        self.settings = {name: new_database(self._server) for name in names}

    def dump(self, folder: Path) -> None:
        for name, url in self.settings.items():
            _run("pg_dump", "--format=custom", f"--file={folder / name}", url.replace("+asyncpg", ""))

    def lose_and_load(self, folder: Path) -> None:
        self._new()
        for name, url in self.settings.items():
            plain = url.replace("+asyncpg", "")
            _run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={plain}", str(folder / name))


def _run(name: str, *words: str) -> None:
    found = program(name)
    assert found
    subprocess.run([found, *words], check=True)  # noqa: S603  # ours


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    if request.param == "sqlite":
        yield Databases()
        return
    if not (POSTGRES and program("pg_dump")):
        pytest.skip("PostgreSQL is not installed")
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield Postgres(server)


async def test_a_wiped_stack_comes_back(
    databases: Databases, tmp_path: Path, told: Callable[[str], None]
) -> None:
    def stand() -> OperatedStand:
        setup = Setup(REPLICAS, settings=databases.settings, deadline_s=600, inter_ms=40)
        return OperatedStand(setup, tmp_path / "stack")

    first = stand()
    try:
        await first.start()
        await first.penstock("ingest", str(ROOT / "e2e" / "sample"))
        api = Api(first)
        asked = [api.ask(script, key=script.name) for script in QUESTIONS]
        kept = {one["id"]: api.answer(one["id"]).content for one in asked}
        found = api.search("what holds water back")
        unfinished = api.begin(LONG)
        assert api.answer(unfinished).status_code == 202
        secret = first.state.api_key.read_text()
        await first.penstock("down")
    finally:
        await first.stop()
    file, dumps = tmp_path / "penstock.backup", tmp_path / "dumps"
    dumps.mkdir()
    before = stand()
    began = time.monotonic()
    written = await before.penstock("backup", str(file))
    await asyncio.to_thread(databases.dump, dumps)
    assert all(name in written for name in databases.settings), "what is elsewhere is named"
    took = time.monotonic() - began

    shutil.rmtree(first.state.folder)
    await asyncio.to_thread(databases.lose_and_load, dumps)
    began = time.monotonic()
    second = stand()
    await second.penstock("restore", str(file))
    try:
        await second.start()
        told(f"\n{written}kept in {took:.1f} s, restored and ready in {time.monotonic() - began:.1f} s")
        api = Api(second)
        assert second.state.api_key.read_text() == secret
        assert {request_id: api.answer(request_id).content for request_id in kept} == kept
        assert found
        assert api.search("what holds water back") == found
        assert api.ask(QUESTIONS[0], key=QUESTIONS[0].name)["id"] == asked[0]["id"], (
            "a key stands for its request"
        )
        again = api.ask(QUESTIONS[0])
        assert again["id"] != asked[0]["id"]
        assert said(again) == said(asked[0])
        assert said(asked[0])[1], "it cites a document"
        assert said(await api.finished(unfinished))[0] == expected(LONG).text.strip()
        with pytest.raises(StandError, match="A stack runs here"):
            await second.penstock("backup", str(tmp_path / "other"))
    finally:
        await second.stop()
