"""Makes all checks at the same time, each within a time limit, so that none can hide what the others find."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from penstock.devstack.doctor.finding import Finding, harmless, harmless_finding
from penstock.devstack.doctor.scene import Scene, Unchecked
from penstock.devstack.errors import DevstackError
from penstock.streaming.ports import BrokerError

T = TypeVar("T")
Check = Callable[[Scene], Awaitable[Sequence[Finding]]]


class NotLookedAt(msgspec.Struct, frozen=True):
    """A check that could not be made, and why."""

    check: str
    reason: str


class Examination(msgspec.Struct, frozen=True):
    """What all checks have found, errors first."""

    findings: tuple[Finding, ...]
    looked_at: tuple[str, ...]
    not_looked_at: tuple[NotLookedAt, ...]
    seconds: float

    @property
    def needs_action(self) -> bool:
        """Whether there is an error among the findings."""
        return any(finding.severity == "error" for finding in self.findings)


async def examine(
    scene: Scene, checks: Mapping[str, Check], secrets: frozenset[str] = frozenset()
) -> Examination:
    """Makes all checks. An error inside a check means that it was not made, whatever it is."""
    started, limit_s = time.monotonic(), scene.needs.limit_s
    outcomes = await asyncio.gather(
        *(_within(check(scene), limit_s) for check in checks.values()), return_exceptions=True
    )
    findings: list[Finding] = []
    not_made: list[NotLookedAt] = []
    for name, outcome in zip(checks, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            not_made.append(NotLookedAt(name, harmless(_reason(outcome, limit_s), secrets)))
        else:
            findings += (harmless_finding(finding, secrets) for finding in outcome)
    findings.sort(key=lambda finding: finding.severity != "error")  # stable: within each as they are listed
    missed = {one.check for one in not_made}
    return Examination(
        findings=tuple(findings),
        looked_at=tuple(name for name in checks if name not in missed),
        not_looked_at=tuple(not_made),
        seconds=round(time.monotonic() - started, 2),
    )


async def _within(work: Awaitable[Sequence[Finding]], limit_s: float) -> Sequence[Finding]:
    async with asyncio.timeout(limit_s):
        return await work


def _reason(error: BaseException, limit_s: float) -> str:
    if isinstance(error, (Unchecked, DevstackError, BrokerError)):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"not done within {limit_s:g} s"
    return f"{type(error).__name__}: {error}"


async def in_thread(function: Callable[..., T], *args: object) -> T:
    """Calls what blocks in a daemon thread: the loop's own executor would make the end wait for it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def set_result(result: T | None, error: BaseException | None) -> None:
        if done.done():  # nobody waits any more
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # there is one where there is no error

    def call() -> None:
        result, failure = None, None
        try:
            result = function(*args)
        except Exception as error:  # noqa: BLE001 raised again where it is waited for
            failure = error
        with suppress(RuntimeError):  # the loop is closed: it came too late
            loop.call_soon_threadsafe(set_result, result, failure)

    threading.Thread(target=call, name=f"doctor-{function.__name__}", daemon=True).start()
    return await done
