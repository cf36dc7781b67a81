"""Who may do what at the broker: ACLs, worked out from the table of flows, and users with their passwords.

A right to read, write or delete is one to describe as well. Idempotent writing needs no right of its own
(KIP-679, Kafka 3.0). All calls block and raise BrokerError.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialUpsertion,
)

from penstock.messages.flows import FLOWS, SERVICES
from penstock.messages.topics import TOPICS
from penstock.streaming.adapters.kafka.cluster import open_admin
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError

Operation = Literal["READ", "WRITE", "DELETE", "DESCRIBE"]


class Grant(NamedTuple):
    """One ALLOW from any host: `prefixed` is for all names that begin with `name`."""

    user: str
    kind: Literal["TOPIC", "GROUP"]
    operation: Operation
    name: str
    prefixed: bool = False

    @property
    def may(self) -> str:
        """What is allowed, in words, but for the name."""
        return f"{self.operation.lower()} {self.kind.lower()}s{' that begin with' if self.prefixed else ''}"


def grants(service: str) -> list[Grant]:
    """Return all that a service needs, and so all that it may."""
    return sorted(set(_grants(service)))


def all_grants() -> list[Grant]:
    """Return the grants of all services."""
    return [grant for service in SERVICES for grant in grants(service)]


def _grants(service: str) -> Iterator[Grant]:
    flow = FLOWS[service]
    for topic in flow.reads:
        yield Grant(service, "TOPIC", "READ", topic.name)
    for topic in flow.writes:
        yield Grant(service, "TOPIC", "WRITE", topic.name)
    for topic in flow.handled:
        yield Grant(service, "TOPIC", "WRITE", topic.dlq)
    if flow.handled:
        yield Grant(service, "GROUP", "READ", service, prefixed=True)
    elif not flow.operator:  # librdkafka looks for a group's coordinator, also where it only reads
        yield Grant(service, "GROUP", "DESCRIBE", service, prefixed=True)
    if flow.operator:
        yield from _operating(service)


def _operating(service: str) -> Iterator[Grant]:
    """To see how far all is, and to send dead letters again to the topics that can have some."""
    yield Grant(service, "GROUP", "DESCRIBE", "*")
    for topic in TOPICS:
        yield Grant(service, "TOPIC", "DESCRIBE", topic.name)
        yield Grant(service, "TOPIC", "READ", topic.dlq)
    for topic in {topic for flow in FLOWS.values() for topic in flow.handled}:
        yield Grant(service, "TOPIC", "WRITE", topic.name)
        yield Grant(service, "TOPIC", "WRITE", topic.dlq)
        yield Grant(service, "TOPIC", "DELETE", topic.dlq)


def commands(wanted: Sequence[Grant], servers: str) -> list[str]:
    """Return the grants as calls of Kafka's own tool, which reads the admin's settings from a file."""

    def alike(grant: Grant) -> tuple[str, str, str, bool]:
        return grant.user, grant.kind, grant.operation, grant.prefixed

    lines = []
    for (user, kind, operation, prefixed), same in groupby(sorted(wanted, key=alike), alike):
        names = " ".join(f"--{kind.lower()} '{grant.name}'" for grant in same)
        pattern = " --resource-pattern-type prefixed" if prefixed else ""
        lines.append(
            f"kafka-acls.sh --bootstrap-server {servers} --command-config admin.properties --add"
            f" --allow-principal User:{user} --operation {operation.capitalize()} {names}{pattern}"
        )
    return lines


class Applied(NamedTuple):
    """What `apply` has changed."""

    added: list[Grant]
    removed: int


def apply(cluster: Cluster, wanted: Sequence[Grant]) -> Applied:
    """Bring the ACLs of the users in `wanted` to what it says; those of others are left alone."""
    with open_admin(cluster) as admin:
        standing = {acl for user in sorted({g.user for g in wanted}) for acl in _standing(admin, user)}
        acls = {_acl(grant): grant for grant in wanted}
        surplus = [acl for acl in standing if acl not in acls]
        missing = [acl for acl in acls if acl not in standing]
        # What is missing comes first: a service that runs never lacks what it has in both.
        failed = admin.create_acls(missing)["failed"] if missing else []
        if failed:
            raise BrokerError(f"{len(failed)} ACLs were not taken: {failed[0].__name__}")
        if surplus:
            _delete(admin, surplus)
    return Applied([acls[acl] for acl in missing], len(surplus))


def _standing(admin: Any, user: str) -> list[ACL]:
    anything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    asked = ACLFilter(f"User:{user}", None, ACLOperation.ANY, ACLPermissionType.ANY, anything)
    found: list[ACL] = admin.describe_acls(asked)[0]
    return found


def _delete(admin: Any, surplus: Sequence[ACL]) -> None:
    for _, _, error in admin.delete_acls(surplus):
        if error.errno != 0:
            raise BrokerError(f"ACLs were not taken back: {error.__name__}")


def _acl(grant: Grant) -> ACL:
    pattern = ACLResourcePatternType.PREFIXED if grant.prefixed else ACLResourcePatternType.LITERAL
    return ACL(
        f"User:{grant.user}",
        "*",
        ACLOperation[grant.operation],
        ACLPermissionType.ALLOW,
        ResourcePattern(ResourceType[grant.kind], grant.name, pattern),
    )


def set_passwords(cluster: Cluster, passwords: Mapping[str, str]) -> None:
    """Make these users for SCRAM-SHA-512, or give them these passwords."""
    with open_admin(cluster) as admin:
        told = admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(u, "SCRAM-SHA-512", p) for u, p in passwords.items()]
        )
    failed = [f"{user}: {problem}" for user, problem in told.items() if problem]
    if failed:
        raise BrokerError(f"passwords were not taken: {'; '.join(failed)}")
