"""`penstock db`: both databases by one command, and those on servers before a stack starts."""

import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from penstock.devstack.cli import commands
from penstock.devstack.db import on_servers, upgrade_servers
from penstock.devstack.errors import DevstackError
from penstock.devstack.state import StateDir
from penstock.gateway.adapters import tables as accounts
from penstock.ingestion.adapters import tables as records

HEADS = (accounts.SCHEMA.head, records.SCHEMA.head)
"""The newest revisions, in the order in which the command names the databases."""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    for name in ("PENSTOCK_ACCOUNTS_DB", "PENSTOCK_DOCUMENTS_DB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PENSTOCK_STATE", str(tmp_path / "state"))
    return StateDir(tmp_path / "state")


def test_both_are_migrated_and_one_that_is_away_is_told(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str) -> tuple[int, list[str]]:
        done = CliRunner().invoke(commands, ["db", *arguments])
        return done.exit_code, [line.rpartition(": ")[2] for line in done.output.splitlines()]

    assert run("current") == (3, [f"is at no revision, the newest is {head}" for head in HEADS])
    assert not state.folder.exists()
    assert run("upgrade") == (0, [f"upgraded from nothing to {head}" for head in HEADS])
    assert run("upgrade") == (0, [f"is at {head}, nothing to do" for head in HEADS])
    with sqlite3.connect(state.folder / "gateway" / "accounts.db") as connection:
        assert connection.execute("SELECT count(*) FROM api_keys").fetchone() == (0,)
    connection.close()
    monkeypatch.setenv("PENSTOCK_ACCOUNTS_DB", "postgresql://me:hidden@127.0.0.1:1/x")
    code, lines = run("current")
    assert (code, lines[1]) == (1, f"is at {HEADS[1]}, the newest")
    assert "cannot be reached" in lines[0]


def test_before_a_stack_starts_only_databases_on_servers_are_migrated(
    state: StateDir, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    said: list[str] = []
    upgrade_servers(state, said.append)
    assert (said, state.folder.exists()) == ([], False)
    monkeypatch.setenv("PENSTOCK_DOCUMENTS_DB", database_url)
    upgrade_servers(state, said.append)
    on_server = not database_url.startswith("sqlite")
    assert [line.rpartition(": ")[2] for line in said] == [f"upgraded from nothing to {HEADS[1]}"] * on_server


def test_a_stack_does_not_start_without_its_database(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_ACCOUNTS_DB", "postgresql://me:hidden@127.0.0.1:1/x")
    with pytest.raises(DevstackError, match=r"accounts database .*cannot be reached") as raised:
        upgrade_servers(state, print)
    assert "hidden" not in str(raised.value)


def test_an_empty_setting_counts_as_unset() -> None:
    assert on_servers({"PENSTOCK_ACCOUNTS_DB": "", "PENSTOCK_DOCUMENTS_DB": "sqlite:///x.db"}) == []
