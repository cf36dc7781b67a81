"""Runs a stack in this process: lock, plan, supervise, keep ``stack.json`` true."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx2

from penstock.devstack.screen import StackScreen
from penstock.devstack.settings import StackSettings
from penstock.devstack.stack import Addresses, choose_addresses, plan_stack
from penstock.devstack.state import ServiceStatus, StackStatus, StateDir
from penstock.devstack.supervisor import Supervisor
from penstock.devstack.topics import create_topics


@dataclass
class Recorder:
    """Keeps ``stack.json`` true and passes everything on to the user's screen. Implements ``Screen``."""

    state: StateDir
    addresses: Addresses
    screen: StackScreen

    def changed(self, services: Sequence[ServiceStatus]) -> None:
        """Writes the file anew, then shows the change."""
        self.state.write(
            StackStatus(
                pid=os.getpid(),
                ready=all(service.state == "ready" for service in services),
                kafka=self.addresses.kafka,
                gateway=self.addresses.gateway,
                backends=self.addresses.backends,
                embeddings=self.addresses.embeddings,
                services=tuple(services),
            )
        )
        self.screen.changed(services)

    def event(self, text: str) -> None:
        """Shows it."""
        self.screen.event(text)


@dataclass(frozen=True)
class Running:
    """What the work beside a running stack may use."""

    supervisor: Supervisor
    addresses: Addresses
    screen: StackScreen


async def run_stack(
    settings: StackSettings, state: StateDir, screen: StackScreen, work: Callable[[Running], Awaitable[None]]
) -> None:
    """Starts everything and returns when nothing of it runs any more.

    ``work`` runs beside the services. DevstackError if the stack cannot start or ``work`` fails.
    """
    with state.supervising():
        addresses = choose_addresses(settings)
        # No proxy setting of the user's applies to the stack's own ports.
        async with httpx2.AsyncClient(trust_env=False) as client:
            specs = plan_stack(addresses, state, client, create_topics)
            recorder = Recorder(state, addresses, screen)
            supervisor = Supervisor(specs, recorder)
            recorder.changed(supervisor.statuses())
            running = Running(supervisor, addresses, screen)
            try:
                await supervisor.run(lambda: work(running))
            finally:
                screen.settled()
