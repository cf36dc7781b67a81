"""Every command of the README runs as it is written there, here or in the suite that `ELSEWHERE` names."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.stack import ROOT, Stack

URL = "http://127.0.0.1:8080"
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = "\n".join(text for language, text in BLOCKS if language == "python")
COMMANDS = [
    line.partition(" #")[0].rstrip()
    for language, text in BLOCKS
    if not language and "─" not in text  # a picture
    for line in text.splitlines()
    if line
] + re.findall(r"`(make [^`]+)`", README)
UP = ".venv/bin/penstock up "
OF_A_STACK = [
    command
    for command in COMMANDS
    if command.startswith((".venv/bin/penstock ", "curl ")) and not command.startswith(UP)
]
FIRST_RUN = "e2e/operations/test_first_run.py"
ELSEWHERE = {
    "make run": (FIRST_RUN, '"make run ONCE=1"'),
    "make run ONCE=1": (FIRST_RUN, '"make run ONCE=1"'),
    "PENSTOCK_MODEL=/models/a-7b-instruct.gguf make run": (FIRST_RUN, '"PENSTOCK_MODEL"'),
    "PENSTOCK_BACKENDS=tgi+http://gpu-host:8080 make run": (
        "e2e/faults/stand.py",
        '"PENSTOCK_BACKENDS": f"tgi+',
    ),
    ".venv/bin/penstock up --detach --replicas generation=2,gateway=2": (
        "e2e/faults/scenarios.py",
        'replicas={"generation": 2, "gateway": 2}',
    ),
    "make compose-up": ("e2e/compose/conftest.py", 'stack.run("up")'),
    "make test": (".ci/run", "\nmake test\n"),
}
"""A command, and the suite that runs it: where a text stands that does so."""
SUITES = {
    "make eval": "e2e/eval/__main__.py",
    "make simulate": "e2e/simulation/__main__.py",
    "make test-faults": "e2e/faults/__main__.py",
    "make test-helm": "infra/helm",
}
"""Suites that are commands of the README themselves, and where they lie."""


def test_every_command_is_run_somewhere() -> None:
    known = {*OF_A_STACK, *ELSEWHERE, *SUITES, "make help"}
    assert set(COMMANDS) - known == set()
    assert (set(ELSEWHERE) | set(SUITES)) - set(COMMANDS) == set()


@pytest.mark.parametrize("command", ELSEWHERE)
def test_the_suite_that_is_named_runs_it(command: str) -> None:
    path, text = ELSEWHERE[command]
    assert text in (ROOT / path).read_text()


@pytest.mark.parametrize("command", [*SUITES, "make compose-up", "make test", "make run", "make help"])
def test_a_target_of_make_exists(command: str) -> None:
    done = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert (ROOT / SUITES.get(command, "Makefile")).exists()


@pytest.fixture
def checkout(indexed: Stack, tmp_path: Path) -> Path:
    """A folder with what the commands name: this environment, the stack's state, the README."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / ".penstock").symlink_to(indexed.state.folder)
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def run(stack: Stack, folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **stack.env}
    return subprocess.run(  # noqa: S603  the README's own
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.parametrize("command", OF_A_STACK)
def test_a_command_runs_as_it_is_written(indexed: Stack, checkout: Path, command: str) -> None:
    question = {"role": "user", "content": "What is a penstock?"}
    answer = indexed.post({"model": indexed.model, "messages": [question], "max_tokens": 8}).json()
    given = {"PATH": str(ROOT / "e2e" / "sample"), "ID": answer["id"], "N": "0"}
    for name, value in given.items():
        command = re.sub(rf"\b{name}\b", value, command)
    done = run(
        indexed, checkout, "bash", "-c", command.replace("http://127.0.0.1:PORT", indexed.status.gateway)
    )
    # The doctor's code says whether something is wrong, be it with this machine.
    assert done.returncode in ((0, 1) if command.endswith("doctor") else (0,)), done.stdout + done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr
    assert '"error"' not in done.stdout


def test_the_python_examples_run_one_after_the_other(indexed: Stack, checkout: Path) -> None:
    assert URL in PYTHON
    done = run(indexed, checkout, sys.executable, "-c", PYTHON.replace(URL, indexed.status.gateway))
    assert done.returncode == 0, done.stderr
    assert "pipe" in done.stdout


def test_it_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) < 150
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README):
        assert (ROOT / link).exists(), link
