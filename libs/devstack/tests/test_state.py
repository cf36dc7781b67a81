"""The state folder: one supervisor and any number who look, and logs that do not grow for ever."""

import fcntl
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from penstock.devstack.errors import DevstackError, OutputClosed
from penstock.devstack.run import Recorder
from penstock.devstack.screen import StackScreen
from penstock.devstack.stack import Plan
from penstock.devstack.state import ServiceStatus, StateDir


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


def test_a_status_that_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    addresses = Mock(kafka="k", gateway="g", observer="o", backends="b", embeddings="e", kafka_is_ours=True)
    plan = Mock(spec=Plan, addresses=addresses, gateways={}, indexes={}, security=None)
    state, screen = StateDir(tmp_path), Mock()
    recorder = Recorder(state, plan, screen)
    with state.supervising():
        in_the_way = state.stack_file.with_suffix(".partial")
        in_the_way.mkdir()
        recorder.changed([ServiceStatus(name="gateway", state="ready")])
        recorder.renew()
        assert state.read() is None
        assert screen.event.call_count == 1  # it is said once
        in_the_way.rmdir()
        recorder.renew()
        status = state.read()
        assert status is not None
        assert status.ready


def test_services_go_on_when_nobody_reads_what_the_stack_says() -> None:
    def gone(*_: object) -> None:
        raise OutputClosed

    screen = StackScreen(Mock(is_terminal=False, print=gone))
    screen.event("generation ended")
    screen.changed([ServiceStatus(name="generation", state="ready")])
