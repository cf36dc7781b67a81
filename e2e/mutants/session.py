"""One module under Cosmic Ray, in a copy of the checkout: it writes its mutants over the files."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.mutants.modules import Module

SECONDS = 60
"""So long the tests of one mutant may take; one that makes them hang counts as noticed."""
_DESELECTED = "not kafka and not postgresql"
# In these modules `|` joins types only: a mutant of it fails where it is imported, and shows nothing.
_LEFT_OUT = "core/ReplaceBinaryOperator_BitOr_.*"
_CONFIG = """\
[cosmic-ray]
module-path = {path}
timeout = {seconds}
excluded-modules = []
test-command = {tests}

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
exclude-operators = [{left_out}]
"""


class SessionError(Exception):
    """The tool gave no result; the message is what it said."""


@dataclass(frozen=True)
class Mutant:
    """One change of one line (1 is the first): what it `was` and what it `becomes` ("": it is gone).

    `noticed_by` names a test that failed, "" stands for none.
    """

    line: int
    was: str
    becomes: str
    noticed_by: str


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """Yield a copy of a checkout as it is now, without what is installed or kept there."""
    with tempfile.TemporaryDirectory(prefix="penstock-mutants-") as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        yield copy


def mutants(module: Module, copy: Path, tool: Path) -> list[Mutant]:
    """Run the module's tests against each of its mutants, and return them all. Raises SessionError.

    `copy` is changed meanwhile; the tool is installed in the environment `tool`.
    """
    config, session = copy / "mutants.toml", copy / "mutants.sqlite"
    config.write_text(_config(module), encoding="utf-8")
    session.unlink(missing_ok=True)
    _call(copy, tool, "cosmic-ray", "baseline", config)
    _call(copy, tool, "cosmic-ray", "init", config, session)
    _call(copy, tool, "cr-filter-operators", session, config)
    _call(copy, tool, "cosmic-ray", "exec", config, session)
    lines = _call(copy, tool, "cosmic-ray", "dump", session).splitlines()
    found = [_mutant(*json.loads(line)) for line in lines]
    return sorted((one for one in found if one is not None), key=lambda one: (one.line, one.becomes))


def _config(module: Module) -> str:
    # The second limit is for a run that is interrupted: the tool then leaves the tests alone.
    tests = ["timeout", "--signal=KILL", str(SECONDS + 5), sys.executable, "-m", "pytest", "-x", "-q"]
    tests += ["-p", "no:cacheprovider", "--hypothesis-seed=0", "-k", _DESELECTED, *module.test_paths]
    return _CONFIG.format(
        path=json.dumps(str(module.path)),  # a text is written in TOML as it is in JSON
        seconds=float(SECONDS),
        tests=json.dumps(shlex.join(tests)),
        left_out=json.dumps(_LEFT_OUT),
    )


def _call(copy: Path, tool: Path, command: str, *arguments: str | Path) -> str:
    sources = sorted([*copy.glob("libs/*/src"), *copy.glob("services/*/src")])
    # Before the folders of the checkout itself, which its environment has in its path.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sources))}
    done = subprocess.run(  # noqa: S603  # commands of ours
        [tool / "bin" / command, *arguments], cwd=copy, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SessionError(f"{command} {arguments[0]}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def _mutant(item: Any, result: Any) -> Mutant | None:
    if result is not None and result["worker_outcome"] == "skipped":
        return None
    if result is None or result["test_outcome"] not in ("killed", "survived"):
        raise SessionError(f"no outcome of {item}: {result}")
    changed = [line for line in result["diff"].splitlines() if not line.startswith(("---", "+++"))]
    was, becomes = (" ".join(line[1:].strip() for line in changed if line[0] == sign) for sign in "-+")
    noticed_by = _noticed_by(result["output"]) if result["test_outcome"] == "killed" else ""
    return Mutant(item["mutations"][0]["start_pos"][0], was, becomes, noticed_by)


def _noticed_by(output: str) -> str:
    """Return the test that failed, or else the last line that pytest wrote."""
    lines = output.strip().splitlines() or ["nothing was printed"]
    failed = (line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR ")))
    return next(failed, lines[-1])
