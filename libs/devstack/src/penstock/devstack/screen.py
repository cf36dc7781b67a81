"""What the user sees while the stack runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from penstock.devstack.errors import OutputClosed
from penstock.devstack.state import ServiceStatus

_PLAIN_WIDTH = 200
_STYLES = {"ready": "green", "crashing": "bold red", "restarting": "red", "stopped": "dim", "stopping": "dim"}


class _Output(Console):
    def on_broken_pipe(self) -> None:
        # Not SystemExit, as rich raises: that stops an event loop in the middle of what it does.
        raise OutputClosed


def make_console() -> Console:
    """Standard output; without a terminal it writes no control characters and wraps nothing.

    Printing raises OutputClosed once nobody reads it any more.
    """
    console = _Output(highlight=False)
    return (
        console
        if console.is_terminal
        else _Output(highlight=False, no_color=True, soft_wrap=True, width=_PLAIN_WIDTH)
    )


def status_table(services: Sequence[ServiceStatus]) -> Table:
    """Service, state, what it waits for, pid, restarts."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("service", "state", "waiting for", "pid", "restarts"):
        table.add_column(heading, no_wrap=heading != "waiting for")
    for service in services:
        table.add_row(
            service.name,
            Text(_word(service), style=_STYLES.get(service.state, "yellow")),
            Text("; ".join(service.waiting_for), style="yellow"),
            "" if service.pid is None else str(service.pid),
            str(service.restarts) if service.restarts else "",
        )
    return table


def _word(service: ServiceStatus) -> str:
    outside = service.state == "ready" and service.pid is None
    return "ready (yours)" if outside else service.state


class StackScreen:
    """Shows a start-up, and afterwards only what goes wrong.

    On a terminal the table is redrawn in place until ``settled``; without one each service gets a line when
    it is ready. Implements ``supervisor.Screen``.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._started = clock()
        self._shown_ready: set[str] = set()
        self._settled = False
        self._live: Live | None = None

    def changed(self, services: Sequence[ServiceStatus]) -> None:
        """Redraws the table, or writes a line for each service that has become ready."""
        if self._settled:
            return
        if self._console.is_terminal:
            if self._live is None:
                # No thread of its own: children are tied to the thread that starts them, and forks stay
                # simple.
                self._live = Live(console=self._console, auto_refresh=False, redirect_stderr=False)
                self._live.start()
            self._live.update(status_table(services), refresh=True)
            return
        for service in services:
            if service.state == "ready" and service.name not in self._shown_ready:
                self._shown_ready.add(service.name)
                self._print(f"    {service.name} is ready ({self._clock() - self._started:.1f} s)")

    def event(self, text: str) -> None:
        """Writes one line, above the table if there is one."""
        self._print(Text(f"    {text}", style="red"))

    def note(self, text: str) -> None:
        """Writes one line of what was done."""
        self._print(Text(f"    {text}"))

    def _print(self, line: str | Text) -> None:
        """Write a line; services go on also when nobody reads it."""
        with suppress(OutputClosed):
            self._console.print(line)

    def settled(self) -> None:
        """Leaves the table as it is: the stack is up, or its end has begun."""
        self._settled = True
        if self._live is not None:
            self._live.stop()
            self._live = None
