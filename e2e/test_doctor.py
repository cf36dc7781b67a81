"""`penstock doctor` on the real stack. Brokers with something wrong in each: e2e/doctor."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import httpx2

from e2e.stack import Stack

MACHINE = {"disk.space", "machine.memory", "machine.few-files", "backends.slow"}
"""What may be wrong with whatever machine this runs on."""


def doctor(stack: Stack) -> tuple[int, list[dict[str, str]], dict[str, Any]]:
    """Exit code, findings about more than this machine, and everything that was told."""
    done = stack.run("doctor", "--json", "--seconds", "60")
    told = json.loads(done.stdout)
    assert stack.key not in done.stdout
    return done.returncode, [one for one in told["findings"] if one["code"] not in MACHINE], told


def test_a_healthy_stack_gives_no_findings(indexed: Stack) -> None:
    code, findings, told = doctor(indexed)
    assert findings == []
    assert (code, told["not_looked_at"]) == (0, [])


def test_a_stage_that_hangs_is_named_while_an_answer_is_missing(stack: Stack) -> None:
    pid = next(one.pid for one in stack.status.services if one.name == "tokenization")
    assert pid is not None
    body = {"model": stack.model, "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
    os.kill(pid, signal.SIGSTOP)
    try:
        asking = threading.Thread(target=_ask, args=(stack, body))
        asking.start()
        code, findings, _ = _until(lambda: doctor(stack), lambda found: "lag.nobody" in _codes(found[1]))
    finally:
        os.kill(pid, signal.SIGCONT)
    asking.join(120)
    told = {one["code"]: one for one in findings}
    assert code == 1
    assert told["process.stopped"]["looked_at"] == "tokenization"
    assert "record in chat.requests, and no process reads them" in told["lag.nobody"]["wrong"]
    _until(lambda: stack.status.ready, bool)


def _ask(stack: Stack, body: Mapping[str, object]) -> None:
    """An answer that is late is not what is tried here."""
    with suppress(httpx2.TimeoutException):
        stack.post(body)


def _codes(findings: Sequence[Mapping[str, str]]) -> set[str]:
    return {one["code"] for one in findings}


def _until(look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    """What is seen as soon as it is enough, or in the end."""
    deadline = time.monotonic() + 90
    while not enough(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return seen
