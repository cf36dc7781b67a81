"""A really secured broker: who gets in, and what each service's user may do there."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr

from penstock.devstack.errors import DevstackError
from penstock.devstack.kafka import running_broker
from penstock.devstack.network import broker_answers
from penstock.devstack.security import USERS, Security
from penstock.devstack.topics import create_topics
from penstock.messages.flows import SERVICES
from penstock.messages.topics import TOPICS
from penstock.streaming.adapters.kafka import open_producer, open_reader
from penstock.streaming.adapters.kafka.cluster import open_admin
from penstock.streaming.adapters.kafka.knock import knock
from penstock.streaming.admin.access import grants
from penstock.streaming.admin.topics import wanted_partitions
from penstock.streaming.connection import Client, KafkaConnection
from penstock.streaming.ports import BrokerError, Partition, Refused

GUESSED = "guessed"
NAMES = sorted(wanted_partitions(TOPICS))
PENSTOCK = str(Path(sys.executable).with_name("penstock"))


@dataclass
class Secured:
    """A broker with topics, users and ACLs."""

    servers: str
    security: Security
    folder: Path

    def user(self, name: str) -> KafkaConnection:
        return self.security.connection(self.servers, name)

    def penstock(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """The command as the admin, who has this cluster as one of his own."""
        access = self.security.environment("admin") | {"PENSTOCK_KAFKA_PASSWORD": ""} | settings
        env = {
            "PATH": "/usr/bin:/bin",
            "PENSTOCK_STATE": str(self.folder / "none"),
            "PENSTOCK_KAFKA": self.servers,
        }
        return subprocess.run(  # noqa: S603 our own command
            [PENSTOCK, *arguments], env=env | access, capture_output=True, text=True, timeout=120, check=False
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    security = Security(folder / "security")
    security.prepare()
    with running_broker(folder / "kafka", security=security) as broker:
        _as_soon_as_it_answers(lambda: create_topics(security.connection(broker.bootstrap), 24, security))
        yield Secured(broker.bootstrap, security, folder)


def _as_soon_as_it_answers(make: Callable[[], None]) -> None:
    for _ in range(60):
        try:
            make()
        except DevstackError as error:  # the broker listens a moment before it leads
            last = error
        else:
            return
    raise last


def test_each_user_may_do_what_the_table_says_and_nothing_else(secured: Secured) -> None:
    """By the broker's own word, for every user and every topic."""
    implied = {"READ", "WRITE", "DELETE"}
    for service in SERVICES:
        with open_admin(secured.user(service)) as admin:
            told = {
                item["name"]: set(item["authorized_operations"])
                for item in admin.describe_topics(NAMES)
                if not item["error_code"]
            }
        wanted: dict[str, set[str]] = {}
        for grant in grants(service):
            if grant.kind == "TOPIC":
                wanted.setdefault(grant.name, set()).update(
                    {grant.operation, "DESCRIBE"} & (implied | {"DESCRIBE"})
                )
        assert told == wanted, service


@pytest.mark.parametrize("client", get_args(Client))
async def test_tokenization_can_really_read_and_write_its_own_topics_only(
    secured: Secured, client: Client
) -> None:
    own = [grant for grant in grants("tokenization") if grant.kind == "TOPIC"]
    may_write = {grant.name for grant in own if grant.operation == "WRITE"}
    may_read = {grant.name for grant in own if grant.operation == "READ"}
    assert may_write & {"chat.tokenized", "chat.requests.dlq"}
    user = replace(secured.user("tokenization"), client=client)
    assert {name for name in NAMES if await _writes(user, name)} == may_write
    for name in NAMES:
        assert await _writes(replace(secured.user("admin"), client=client), name)
    assert {name for name in NAMES if await _reads(user, name)} == may_read


async def _writes(user: KafkaConnection, topic: str) -> bool:
    producer = await open_producer(user)  # a refusal ends an idempotent producer
    try:
        await producer.send(topic, b"key", b"value", [], 0)
    except BrokerError as error:
        if "this user may not" not in str(error):
            raise
        return False
    finally:
        await producer.close()
    return True


async def _reads(user: KafkaConnection, topic: str) -> bool:
    reader = await open_reader(user)
    try:
        await reader.read({Partition(topic, 0): "beginning"})
        async with asyncio.timeout(30):
            while not await reader.poll(0.5):
                pass
    except BrokerError as error:
        if "this user may not" not in str(error):
            raise
        return False
    finally:
        await reader.close()
    return True


async def test_a_group_of_another_service_cannot_be_seen_and_no_topic_made(secured: Secured) -> None:
    def offsets(user: str, group: str) -> None:
        with open_admin(secured.user(user)) as admin:
            admin.list_group_offsets(group)

    for _ in range(100):  # the first request for a group makes the topic of offsets
        with suppress(BrokerError):
            offsets("retrieval", "retrieval-2-indexer-x")
            break
        await asyncio.sleep(0.2)
    offsets("retrieval", "retrieval-2-indexer-x")
    for user, group in (
        ("tokenization", "retrieval"),
        ("gateway", "tokenization"),
        ("retrieval", "ingestion"),
    ):
        with pytest.raises(BrokerError, match="GroupAuthorizationFailedError"):
            offsets(user, group)
    with (
        pytest.raises(BrokerError, match="AuthorizationFailedError"),
        open_admin(secured.user("gateway")) as admin,
    ):
        admin.create_topics({"own": {"num_partitions": 1}})


async def test_nobody_gets_in_without_a_user_or_in_plain_text(secured: Secured) -> None:
    host, _, port = secured.servers.partition(":")
    assert not broker_answers(host, int(port))
    good = secured.user("tokenization")
    for wrong, told in (
        (KafkaConnection(secured.servers), "PENSTOCK_KAFKA_PROTOCOL"),
        (KafkaConnection(secured.servers, "SSL", ca=good.ca), "PENSTOCK_KAFKA_PROTOCOL"),
        (replace(good, protocol="SASL_PLAINTEXT"), "PENSTOCK_KAFKA_PROTOCOL"),
        (replace(good, mechanism="SCRAM-SHA-256"), "PENSTOCK_KAFKA_MECHANISM"),
        (replace(good, mechanism="PLAIN"), "refuses the user"),
        (replace(good, password=SecretStr(GUESSED)), "refuses the user 'tokenization'"),
        (replace(good, user="nobody"), "refuses the user 'nobody'"),
        (replace(good, ca=None), "its certificate is not accepted"),
    ):
        with pytest.raises(Refused, match=told):
            await open_reader(wrong)
    knock(good)


def test_the_certificate_of_another_authority_is_refused(secured: Secured, tmp_path: Path) -> None:
    other = Security(tmp_path / "other")
    other.prepare()
    with pytest.raises(Refused, match=r"its certificate is not accepted .*check PENSTOCK_KAFKA_CA"):
        knock(replace(secured.user("gateway"), ca=other.authority))


def test_the_controller_is_not_open_either(secured: Secured) -> None:
    text = (secured.folder / "kafka" / "server.properties").read_text()
    host, _, port = text.split("CONTROLLER://")[1].splitlines()[0].partition(":")
    assert not broker_answers(host, int(port))
    with pytest.raises(Refused):
        knock(replace(secured.user("gateway"), servers=f"{host}:{port}"))


def test_secrets_are_for_their_owner_only_and_on_no_command_line(secured: Secured) -> None:
    secret_files = [secured.security.password_file(user) for user in USERS]
    secret_files += [secured.security.keystore, secured.folder / "kafka" / "server.properties"]
    assert {file.stat().st_mode & 0o777 for file in secret_files} == {0o600}
    assert secured.security.folder.stat().st_mode & 0o777 == 0o700
    secrets = [secured.security.password(user) for user in USERS] + [secured.security.keystore_password]
    assert len(set(secrets)) == len(secrets)
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_text(errors="replace")
        except OSError:  # it has just ended
            continue
        assert not any(secret in line for secret in secrets)


def test_the_command_makes_topics_and_acls_at_a_cluster_of_ones_own(secured: Secured) -> None:
    listed = secured.penstock("topics", "list", PENSTOCK_RETENTION_HOURS="24")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.count("as it should be") == len(NAMES)
    differs = secured.penstock("topics", "list", PENSTOCK_RETENTION_HOURS="48")
    assert differs.returncode == 1
    assert "retention.ms=86400000 (not 172800000)" in " ".join(differs.stdout.split())
    with open_admin(secured.user("admin")) as admin:
        admin.delete_topics(["chat.replays.dlq"])
    made = secured.penstock("topics", "create", "--replication-factor", "1", PENSTOCK_RETENTION_HOURS="24")
    assert "chat.replays.dlq: made" in made.stdout
    assert f"1 topics made, 0 changed, {len(NAMES) - 1} were as they should be." in made.stdout
    again = secured.penstock("topics", "create", PENSTOCK_RETENTION_HOURS="24")
    assert f"0 topics made, 0 changed, {len(NAMES)} were as they should be." in again.stdout
    applied = secured.penstock("acl", "apply")
    assert "0 rights given, 0 taken back" in applied.stdout
    refused = secured.penstock("acl", "apply", **secured.security.environment("gateway"))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "this user may not" in refused.stderr
    wrong = secured.penstock(
        "topics", "list", PENSTOCK_KAFKA_PASSWORD_FILE="", PENSTOCK_KAFKA_PASSWORD=GUESSED
    )
    assert "refuses the user 'admin'" in wrong.stderr
    assert GUESSED not in wrong.stdout + wrong.stderr


def test_rights_that_are_too_many_are_taken_back(secured: Secured) -> None:
    from penstock.streaming.admin.access import Grant, apply

    admin, own = secured.user("admin"), grants("gateway")
    extra = Grant("gateway", "TOPIC", "READ", "usage.recorded")
    assert apply(admin, [*own, extra]).added == [extra]
    assert apply(admin, own) == ([], 1)
