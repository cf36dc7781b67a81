"""Ties a child's life to its parent's: when the parent dies, even by kill -9, the kernel kills the child."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import cache

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> Callable[[], None]:
    """A ``preexec_fn``: the child gets SIGKILL when the thread that started it ends. Linux; elsewhere it
    does nothing, which is logged once.

    Start children from the main thread: the kernel watches the thread, not the process (prctl(2)). The
    setting survives exec but is not inherited, so a grandchild needs its own.
    """
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is None:
        _log_degraded()

    def in_child() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != parent:  # it died between fork and prctl
                os._exit(1)

    return in_child


@cache
def _log_degraded() -> None:
    logging.getLogger(__name__).warning(
        "Services outlive a penstock that is killed (kill -9) on this system: `penstock doctor` lists them."
    )
