"""The command as an operator has it: its lines, its exit codes, and two of them at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from libs.database.tests.conftest import MakeSchema
from penstock.database.command import BEHIND, DONE, FAILED, main
from penstock.database.engine import parse_url, shown
from penstock.gateway.adapters import tables as accounts
from penstock.ingestion.adapters import tables as records

SETTING = {"gateway": "PENSTOCK_ACCOUNTS_DB", "ingestion": "PENSTOCK_DOCUMENTS_DB"}
HEAD = {"gateway": accounts.SCHEMA.head, "ingestion": records.SCHEMA.head}


def begun(service: str, url: str, *arguments: str) -> "subprocess.Popen[str]":
    command = Path(sys.executable).with_name(f"penstock-{service}-db")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return subprocess.Popen(  # noqa: S603  # our own command
        [command, *arguments],
        env=env | {SETTING[service]: url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_up_down_and_current(
    database_url: str, make_schema: MakeSchema, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = make_schema()

    def run(*arguments: str) -> tuple[int, str]:
        """Exit code and the last line that it says, without the database's name."""
        code = main(schema, database_url, arguments, sys.stdout)
        said = "".join(capsys.readouterr())
        assert said.startswith(f"things database {shown(parse_url(database_url))}: ")
        return code, said.rstrip("\n").rpartition(": ")[2]

    assert run("current") == (BEHIND, "is at no revision, the newest is 0003")
    assert run("upgrade", "0001") == (DONE, "upgraded from nothing to 0001")
    assert run("current") == (BEHIND, "is at 0001, the newest is 0003")
    assert run("upgrade") == (DONE, "upgraded from 0001 to 0003")
    assert run("upgrade") == (DONE, "is at 0003, nothing to do")
    assert run("current") == (DONE, "is at 0003, the newest")
    assert run("downgrade", "0002") == (DONE, "downgraded from 0003 to 0002")
    assert run("upgrade", "0042") == (FAILED, "there is no revision 0042; there are 0001, 0002, 0003")
    assert run("upgrade") == (DONE, "upgraded from 0002 to 0003")
    schema = make_schema(newest="0002")  # an older version
    assert run("upgrade") == (DONE, "is at 0003, newer than this version's 0002, nothing to do")
    assert run("current") == (DONE, "is at 0003, newer than this version's 0002")


@pytest.mark.parametrize("service", SETTING)
def test_two_at_once(database_url: str, service: str) -> None:
    both = [begun(service, database_url, "upgrade") for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [DONE, DONE], said
    last = sorted(out.strip().splitlines()[-1].rpartition(": ")[2] for out, _ in said)
    assert last == [f"is at {HEAD[service]}, nothing to do", f"upgraded from nothing to {HEAD[service]}"]


def test_both_services_in_one_database_are_kept_apart(database_url: str) -> None:
    gateway = begun("gateway", database_url, "upgrade")
    gateway.communicate(timeout=120)
    ingestion = begun("ingestion", database_url, "upgrade")
    _, err = ingestion.communicate(timeout=120)
    assert (gateway.returncode, ingestion.returncode) == (DONE, FAILED)
    assert "every service needs a database of its own" in err


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    process = begun("gateway", "postgresql://me:hidden@127.0.0.1:1/x", "upgrade")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (FAILED, "")
    where = "postgresql://me:***@127.0.0.1:1/x"
    assert err == f"accounts database {where}: it cannot be reached or used (ConnectionRefusedError)\n"


def test_a_setting_that_is_none_and_a_word_that_is_none() -> None:
    processes = [begun("gateway", "no address:hidden", "upgrade"), begun("ingestion", "", "sideways")]
    [(_, wrong), (_, help_text)] = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert wrong.startswith("PENSTOCK_ACCOUNTS_DB is not usable: ")
    assert "hidden" not in wrong
    assert "upgrade" in help_text
