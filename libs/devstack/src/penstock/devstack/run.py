"""Runs a stack in this process: lock, plan, supervise, keep ``stack.json`` true."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from penstock.devstack.db import upgrade_servers
from penstock.devstack.errors import DevstackError
from penstock.devstack.scaling import Scaler, ScaleRequests
from penstock.devstack.screen import StackScreen
from penstock.devstack.security import Security
from penstock.devstack.settings import StackSettings
from penstock.devstack.stack import Addresses, Plan, choose_addresses
from penstock.devstack.state import ServiceStatus, StackStatus, StateDir
from penstock.devstack.supervisor import Supervisor
from penstock.devstack.topics import create_topics
from penstock.streaming.adapters.kafka.knock import knock
from penstock.streaming.connection import KafkaConnection
from penstock.streaming.ports import BrokerError, Refused

_ROTATE_EVERY_S = 60.0
_RENEW_EVERY_S = 1.0


@dataclass
class Recorder:
    """Keeps ``stack.json`` true and passes everything on to the user's screen. Implements ``Screen``."""

    state: StateDir
    plan: Plan
    screen: StackScreen
    _services: Sequence[ServiceStatus] = field(default=(), init=False)
    _is_written: bool = field(default=True, init=False)
    _has_failed: bool = field(default=False, init=False)

    def changed(self, services: Sequence[ServiceStatus]) -> None:
        """Writes the file, then shows the change. If the file cannot be written, `renew` tries again."""
        self._services, self._is_written = services, False
        self.renew()
        self.screen.changed(services)

    def renew(self) -> None:
        """Writes the file, unless it is true already; says so once while that fails."""
        if self._is_written:
            return
        try:
            self.state.write(self._status())
        except OSError as error:
            if not self._has_failed:
                self.screen.event(f"`penstock status` shows an old state: {error}")
            self._has_failed = True
        else:
            self._is_written, self._has_failed = True, False

    def _status(self) -> StackStatus:
        addresses, services = self.plan.addresses, self._services
        gateways, indexes = self.plan.gateways, self.plan.indexes
        return StackStatus(
            pid=os.getpid(),
            ready=all(service.state == "ready" for service in services),
            kafka=addresses.kafka,
            gateway=addresses.gateway,
            gateways=tuple(gateways[s.name] for s in services if s.name in gateways),
            indexes=tuple(indexes[s.name] for s in services if s.name in indexes),
            observer=addresses.observer,
            backends=addresses.backends,
            embeddings=addresses.embeddings,
            kafka_is_ours=addresses.kafka_is_ours,
            secure=self.plan.security is not None,
            services=tuple(services),
        )

    def event(self, text: str) -> None:
        """Shows it."""
        self.screen.event(text)


@dataclass(frozen=True)
class Running:
    """What the work beside a running stack may use."""

    supervisor: Supervisor
    addresses: Addresses
    gateways: Mapping[str, str]
    """Base URLs of the gateway replicas by their names."""
    screen: StackScreen


async def run_stack(
    settings: StackSettings,
    state: StateDir,
    screen: StackScreen,
    work: Callable[[Running], Awaitable[None]],
    replicas: Mapping[str, int] | None = None,
    *,
    secure: bool | None = None,
) -> None:
    """Starts everything and returns when nothing of it runs any more.

    ``work`` runs beside the services; ``replicas`` says of which services there are to be more than one,
    ``secure`` whether the embedded Kafka has TLS, users and ACLs (None: as the settings say).
    DevstackError if the stack cannot start or ``work`` fails.
    """
    with state.supervising():
        requests = ScaleRequests(state.scale_requests)
        requests.clear()
        security = _security(settings, state, secure)
        addresses = choose_addresses(settings, security)
        if not addresses.kafka_is_ours:
            _raise_if_refused(addresses.cluster)
        upgrade_servers(state, screen.note)
        create = partial(create_topics, retention_hours=settings.retention_hours, security=security)
        plan = Plan(addresses, state, create, security)
        recorder = Recorder(state, plan, screen)
        supervisor = Supervisor(plan.specs(replicas or {}), recorder)
        recorder.changed(supervisor.statuses())
        running = Running(supervisor, addresses, plan.gateways, screen)
        scaler = Scaler(supervisor, plan, requests)

        async def all_work() -> None:
            tasks = [
                asyncio.create_task(scaler.run(screen.event), name="`penstock scale`"),
                asyncio.create_task(_rotate_logs(state, screen), name="the rotation of logs"),
                asyncio.create_task(_keep_renewing(recorder), name="`penstock status`"),
            ]
            for task in tasks:
                task.add_done_callback(partial(_report_end, screen))
            try:
                await work(running)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

        try:
            await supervisor.run(all_work)
        finally:
            screen.settled()


async def _keep_renewing(recorder: Recorder) -> None:
    while True:
        await asyncio.sleep(_RENEW_EVERY_S)
        recorder.renew()


async def _rotate_logs(state: StateDir, screen: StackScreen) -> None:
    while True:
        await asyncio.sleep(_ROTATE_EVERY_S)
        try:
            await asyncio.to_thread(state.rotate_logs)
        except OSError as error:
            screen.event(f"logs are not rotated: {error}")


def _report_end(screen: StackScreen, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        screen.event(f"{task.get_name()} does not work until the stack is started again: {error!r}")


def _security(settings: StackSettings, state: StateDir, asked: bool | None) -> Security | None:
    """What the embedded Kafka needs, made if it is missing; None if it goes without."""
    wanted = settings.secure if asked is None else asked
    security = Security(state.security)
    if settings.kafka is not None:
        if wanted:
            raise DevstackError(
                "PENSTOCK_KAFKA names an existing Kafka, which only its owner can secure: do without --secure"
                " and PENSTOCK_SECURE, and set PENSTOCK_KAFKA_PROTOCOL and so on to what it wants"
            )
        return None
    if wanted is None:
        wanted = security.in_force
    security.put(in_force=wanted)
    return security if wanted else None


def _raise_if_refused(cluster: KafkaConnection) -> None:
    """An existing Kafka that does not answer is waited for; one that refuses us will go on so."""
    try:
        knock(cluster)
    except Refused as error:
        raise DevstackError(f"Kafka: {error}") from error
    except BrokerError:
        return
