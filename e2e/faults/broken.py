"""Services that are broken on purpose, and services whose clock is wrong.

``python -m e2e.faults.broken VARIANT PROGRAM`` changes what the variant says in this process only and then
starts the service's own program. The suite must catch each of the broken builds: a checker that finds nothing
wrong with them would prove nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points

from penstock.messages.reading import Fence, Splice
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import Partition
from penstock.streaming.watermark import Arrival


def _replace(owner: type, name: str, function: Callable[..., object]) -> None:
    setattr(owner, name, function)


def no_epoch_check() -> None:
    """Records of a replaced owner count as well."""
    _replace(Fence, "admits", admit_all)


def admit_all(fence: Fence, epoch: int) -> bool:
    """Count every record (in place of Fence.admits)."""
    fence.epoch = max(fence.epoch, epoch)
    return True


def commit_before_acknowledge() -> None:
    """A record counts as done as soon as it is read."""
    add = Offsets.add

    def add_and_finish(
        offsets: Offsets, partition: Partition, offset: int, arrival: Arrival
    ) -> Callable[[], None]:
        add(offsets, partition, offset, arrival)()
        return lambda: None

    _replace(Offsets, "add", add_and_finish)


def no_trimming() -> None:
    """What a reader has already is taken for new."""
    _replace(Splice, "add", add_all)


def add_all(splice: Splice, start: int, text: str) -> str:
    """Take every piece whole (in place of Splice.add)."""
    del start
    splice.length += len(text)
    return text


def clock(offset_s: float) -> None:
    """The wall clock is wrong by so many seconds; timers, which read another clock, are not."""
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + offset_s
    time.time_ns = lambda: now_ns() + int(offset_s * 1e9)


_BUILDS = {
    "no-epoch-check": no_epoch_check,
    "commit-before-acknowledge": commit_before_acknowledge,
    "no-trimming": no_trimming,
}


def apply(variant: str) -> None:
    """Change this process: the name of a broken build, or ``clock:SECONDS``."""
    name, _, argument = variant.partition(":")
    if name == "clock":
        clock(float(argument))
    else:
        _BUILDS[name]()


def main() -> None:
    """Start a service's program in its broken form."""
    variant, program = sys.argv[1:3]
    apply(variant)
    [entry] = entry_points(group="console_scripts", name=program)
    sys.argv = [program]
    entry.load()()


if __name__ == "__main__":
    main()
