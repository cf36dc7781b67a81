"""The bare engine against the inference service asked directly, in turns: `python -m e2e.inference`.

`--bare` and `--service`, each as often as wanted, add an arm with settings of its own. All arms are loaded at
the same time, and only one works at a time.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import sys
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from functools import partial

import psutil

from .load import flood

Arm = Callable[[float], Awaitable[dict[str, float]]]


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--bare", action="append", default=[], help="a bare engine with VARIABLE=VALUE,...")
    parser.add_argument("--service", action="append", default=[], help="a service with VARIABLE=VALUE,...")
    told = parser.parse_args()
    processes: list[Process] = []
    arms: dict[str, Arm] = {}
    try:
        for each in told.bare or [""]:
            arms[f"engine {each}"] = await _engine(told.streams, each, processes)
        for each in told.service or [""]:
            arms[f"service {each}"] = await _service(told.streams, each, processes)
        await _measure(arms, told.rounds, told.seconds)
    finally:
        for process in processes:
            process.kill()
            await process.wait()


async def _measure(arms: dict[str, Arm], rounds: int, seconds: float) -> None:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            found[name].append(await arm(seconds))
    first: list[float] = []
    for name, windows in found.items():
        rates = [window["tokens"] / window["seconds"] for window in windows]
        first = first or rates
        shares = [100 * rate / base for rate, base in zip(rates, first, strict=True)]
        shown = " ".join(f"{share:.0f}" for share in shares)
        cost = sum(window["cpu_ms"] for window in windows) / sum(window["tokens"] for window in windows)
        print(  # noqa: T201 - the result
            f"{name:50} {statistics.median(rates):7.1f} tokens/s {statistics.median(shares):6.1f} % ({shown})"
            f" {cost:6.2f} ms of processor a token"
        )


def _environment(settings: str) -> dict[str, str]:
    given = dict(each.split("=", 1) for each in settings.split(",") if each)
    return {"PENSTOCK_MODEL_ADAPTER": "none", **os.environ, **given}  # the reader's answers are short


async def _engine(streams: int, settings: str, processes: list[Process]) -> Arm:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "e2e.inference.engine", str(streams)),
        env=_environment(settings), stdin=PIPE, stdout=PIPE,
    )  # fmt: skip
    processes.append(process)
    given, answers = process.stdin, process.stdout
    assert given is not None
    assert answers is not None
    await answers.readline()

    async def run(seconds: float) -> dict[str, float]:
        given.write(f"{seconds}\n".encode())
        answer: dict[str, float] = json.loads(await answers.readline())
        return answer

    return run


async def _service(streams: int, settings: str, processes: list[Process]) -> Arm:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**_environment(settings), "PENSTOCK_INFERENCE_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "penstock.inference.main"), env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    processes.append(process)
    watched = psutil.Process(process.pid)
    while not await asyncio.to_thread(_is_ready, port):
        assert process.returncode is None
        await asyncio.sleep(0.1)

    def spent_ms() -> float:
        times = watched.cpu_times()
        return 1000 * float(times.user + times.system)

    return partial(flood, port, streams, spent_ms=spent_ms)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    asyncio.run(main())
