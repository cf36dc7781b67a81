"""The event loop that a process runs on."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

import uvloop


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a process's coroutine to its end.

    What is loaded by now stays as long as the process: the garbage collector is told to leave it alone. Else
    every full collection walks through all imported modules, and everything waits for it.
    """
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
