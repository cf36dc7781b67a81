"""The state folder: one supervisor and any number who look, and logs that do not grow for ever."""

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


def test_a_long_log_is_rotated_under_the_process_that_writes_it(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    with state.fresh_log("gateway").open("ab", buffering=0) as log:
        log.write(b"old\n" * 100)
        state.rotate_logs(limit=1000)
        assert state.log_file("gateway").stat().st_size == 400
        state.rotate_logs(limit=100)
        log.write(b"new\n")
        assert state.log_file("gateway").read_bytes() == b"new\n"
        assert (state.logs / "gateway.log.1").read_bytes() == b"old\n" * 100
