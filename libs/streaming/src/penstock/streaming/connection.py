"""How a Kafka cluster is reached: its addresses, how they are spoken to, and as whom.

Names and values of the protocols and mechanisms are Kafka's own (`security.protocol`, `sasl.mechanism`).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from penstock.streaming.credentials import read_secret, unusable

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
Client = Literal["librdkafka", "kafka-python"]
KAFKA_PYTHON: Client = "kafka-python"
ADMIN = "admin"
"""Name of the user who may do everything."""
NO_PASSWORD = SecretStr("")


@dataclass(frozen=True)
class KafkaConnection:
    """`servers` are `host:port`, separated by commas; `ca` is a file of certificates in PEM.

    Without a `ca`, those count that the system trusts. As text it is its servers.
    """

    servers: str
    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str = ""
    password: SecretStr = NO_PASSWORD
    ca: Path | None = None
    client: Client = "librdkafka"
    """The library by which records are written and read; administration is by kafka-python in any case."""

    def __str__(self) -> str:
        return self.servers

    @property
    def tls(self) -> bool:
        """Whether the bytes are encrypted, and the broker shows a certificate."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def sasl(self) -> bool:
        """Whether the broker is told who we are."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")


Cluster = KafkaConnection | str
"""A bare string is the servers of a cluster that asks for nothing."""


def as_connection(cluster: Cluster) -> KafkaConnection:
    """Return the connection that a string stands for."""
    return KafkaConnection(cluster) if isinstance(cluster, str) else cluster


def by_kafka_python(cluster: Cluster) -> KafkaConnection:
    """Return the same cluster for who only looks or administers: that is kafka-python's work in any case."""
    return replace(as_connection(cluster), client=KAFKA_PYTHON)


class KafkaAccess(BaseSettings):
    """How to speak to a cluster and as whom, from the environment (`PENSTOCK_KAFKA_PROTOCOL` and so on)."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", env_ignore_empty=True, extra="ignore")

    kafka_protocol: Protocol = "PLAINTEXT"
    kafka_mechanism: Mechanism = "SCRAM-SHA-512"
    """How the user proves who it is, with a SASL protocol."""
    kafka_user: str = ""
    kafka_password: SecretStr | None = None
    kafka_password_file: Path | None = None
    """A file that holds the password; white space at its end does not count."""
    kafka_ca: Path | None = None
    """File of trusted certificates in PEM; unset: those of the system."""
    kafka_client: Client = "librdkafka"
    """The library that speaks to Kafka."""

    @cached_property
    def _access(self) -> KafkaConnection:
        """The connection, but for its servers; the file of the password is read once."""
        access = KafkaConnection(
            "",
            self.kafka_protocol,
            self.kafka_mechanism,
            self.kafka_user,
            self._password(),
            self.kafka_ca,
            self.kafka_client,
        )
        if access.sasl and not (access.user and access.password.get_secret_value()):
            missing = "PASSWORD or PENSTOCK_KAFKA_PASSWORD_FILE" if access.user else "USER"
            raise unusable(f"PENSTOCK_KAFKA_PROTOCOL={access.protocol} needs PENSTOCK_KAFKA_{missing}")
        if access.ca is not None and not access.ca.is_file():
            raise unusable(f"PENSTOCK_KAFKA_CA: there is no file {access.ca}")
        return access

    def _password(self) -> SecretStr:
        given = read_secret("PENSTOCK_KAFKA_PASSWORD", self.kafka_password, self.kafka_password_file)
        return given or NO_PASSWORD

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        _ = self._access
        return self

    def reaching(self, servers: str) -> KafkaConnection:
        """Return the connection to these servers."""
        return replace(self._access, servers=servers)


class KafkaSettings(KafkaAccess):
    """The whole of it: `PENSTOCK_KAFKA` as well."""

    kafka: str = "127.0.0.1:9092"
    """Bootstrap servers, `host:port` separated by commas."""

    @property
    def cluster(self) -> KafkaConnection:
        """Return the connection that these settings name."""
        return self.reaching(self.kafka)
