"""The lock of the state folder: one supervisor, and any number who look."""

import fcntl
import threading
import time
from pathlib import Path

import pytest

from penstock.devstack.errors import DevstackError
from penstock.devstack.state import StateDir


def test_a_look_at_the_lock_does_not_keep_a_stack_from_starting(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.pid_file.touch()
    with state.pid_file.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.3, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        began = time.monotonic()
        with state.supervising():
            assert time.monotonic() - began >= 0.2
            assert state.supervisor_pid() is not None


def test_a_second_supervisor_is_refused_at_once_and_told_of_the_first(tmp_path: Path) -> None:
    with StateDir(tmp_path).supervising():
        began = time.monotonic()
        with pytest.raises(DevstackError, match=r"already runs here \(pid \d+\)"):  # noqa: SIM117
            with StateDir(tmp_path).supervising():
                pass
        assert time.monotonic() - began < 2
