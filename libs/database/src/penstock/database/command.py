"""The services' commands that migrate their databases: `upgrade`, `downgrade`, `current`."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TextIO

from sqlalchemy import URL

from penstock.database.engine import parse_url, shown
from penstock.database.errors import SchemaError
from penstock.database.migrate import BASE, HEAD, current, downgrade, upgrade
from penstock.database.schema import Schema, Standing

DONE, FAILED, BEHIND = 0, 1, 3
"""Exit codes; a wrong argument or setting is 2."""


def main(schema: Schema, url: str, arguments: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """Do what the arguments say (those of the process if None); returns the exit code. One line each way.

    Exit code 1: it could not be done, and nothing was changed; 3: `current` found migrations to run.
    """
    given = _parser(schema).parse_args(arguments)
    address = parse_url(url)
    out = out or sys.stdout
    try:
        line, code = asyncio.run(_do(given, address, schema, out))
    except SchemaError as error:
        sys.stderr.write(f"{schema.name} database {shown(address)}: {error}\n")
        return FAILED
    out.write(f"{schema.name} database {shown(address)}: {line}\n")
    return code


def _parser(schema: Schema) -> ArgumentParser:
    parser = ArgumentParser(schema.command, description=f"Migrate the {schema.name} database.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("upgrade", help="run the migrations that it lacks; safe to run at any time")
    up.add_argument("revision", metavar="REV", nargs="?", default=HEAD, help="only up to here")
    down = commands.add_parser("downgrade", help="undo the migrations after a revision")
    down.add_argument("revision", metavar="REV", help=f"{BASE}: undo all, with all data")
    commands.add_parser("current", help="show its revision; exit code 3: migrations are to be run")
    return parser


async def _do(given: Namespace, url: URL, schema: Schema, out: TextIO) -> tuple[str, int]:
    if given.command == "current":
        return await _current(url, schema)

    def waits() -> None:
        out.write(f"{schema.name} database {shown(url)}: another process is migrating it; waiting\n")
        out.flush()

    change = upgrade if given.command == "upgrade" else downgrade
    before, after = await change(url, schema, given.revision, waits)
    if before == after:
        return f"is at {after or 'no revision'}{_ahead(schema, after)}, nothing to do", DONE
    return f"{given.command}d from {before or 'nothing'} to {after or 'nothing'}", DONE


async def _current(url: URL, schema: Schema) -> tuple[str, int]:
    found = await current(url, schema)
    if found.problem:
        raise SchemaError(found.problem)
    if found.standing is Standing.BEHIND:
        return f"is at {found.revision or 'no revision'}, the newest is {schema.head}", BEHIND
    return f"is at {found.revision}{_ahead(schema, found.revision) or ', the newest'}", DONE


def _ahead(schema: Schema, revision: str | None) -> str:
    ahead = schema.standing(revision) is Standing.AHEAD
    return f", newer than this version's {schema.head}" if ahead else ""
