"""What `make run` says at its end: a link that signs in, but only to people at a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from penstock.devstack.demo import show_how_to_go_on
from penstock.devstack.state import StateDir

KEY = "psk-" + "k" * 43


class FakeRunning:
    """A stack whose gateway is somewhere."""

    class addresses:  # noqa: N801 the name is the attribute's
        gateway = "http://127.0.0.1:8080"


def shown(state: StateDir, *, terminal: bool) -> str:
    """What is printed."""
    running: Any = FakeRunning()
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, highlight=False, width=60)
    show_how_to_go_on(running, state, console, "m")
    return written.getvalue()


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    (tmp_path / "api-key").write_text(f"{KEY}\n")
    return StateDir(tmp_path)


def test_a_terminal_gets_a_link_that_signs_in(state: StateDir) -> None:
    assert f"Console:          http://127.0.0.1:8080/#key={KEY}\n" in shown(state, terminal=True)


def test_elsewhere_no_key_is_written(state: StateDir) -> None:
    text = shown(state, terminal=False)
    assert "Console:          http://127.0.0.1:8080/  (sign in with the key in " in text
    assert str(state.api_key) in text
    assert KEY not in text


def test_without_a_key_the_link_is_plain(state: StateDir) -> None:
    state.api_key.unlink()
    assert "#key" not in shown(state, terminal=True)
