"""What all clients of Kafka share: a thread for their calls, connection settings, errors as ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from kafka import errors

from penstock.streaming.adapters.kafka.knock import knock, tls_context
from penstock.streaming.connection import Cluster, as_connection
from penstock.streaming.ports import BrokerError, Partition, Record, RecordTooLarge, Refused

CONNECT_MS = 5_000
_FETCH_BYTES = 8 << 20
_LONGEST_ERROR = 200
T = TypeVar("T")


class Thread:
    """Runs the calls to one client, one after the other, in one thread, with its errors as BrokerError."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def call(self, function: Callable[..., T], *args: object, **kwargs: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, lambda: function(*args, **kwargs)
            )
        except errors.KafkaError as error:
            raise as_broker_error(error) from error

    def end(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def connecting(cluster: Cluster, client_id: str) -> dict[str, Any]:
    """Return the settings of every client; blocks while it knocks. Raises BrokerError."""
    knock(cluster)
    return speaking(cluster) | {
        "client_id": client_id,
        "bootstrap_timeout_ms": CONNECT_MS,
        "reconnect_backoff_max_ms": 1_000,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }


def speaking(cluster: Cluster) -> dict[str, Any]:
    """Return the settings of even the library's admin client: where, in which way, and as whom."""
    connection = as_connection(cluster)
    settings: dict[str, Any] = {
        "bootstrap_servers": connection.servers,
        "security_protocol": connection.protocol,
        "ssl_context": tls_context(connection),
    }
    if connection.sasl:
        settings |= {
            "sasl_mechanism": connection.mechanism,
            "sasl_plain_username": connection.user,
            "sasl_plain_password": connection.password.get_secret_value(),
        }
    return settings


def reading(cluster: Cluster, client_id: str) -> dict[str, Any]:
    """Return the settings of every client that reads, as `connecting`."""
    return connecting(cluster, client_id) | {
        "enable_auto_commit": False,
        "fetch_max_bytes": _FETCH_BYTES,
    }


def as_broker_error(error: BaseException) -> BrokerError:
    """Return an error of the client as one of ours."""
    told = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]  # some hold the whole request
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return Refused(
            "the broker refuses the user: check PENSTOCK_KAFKA_USER, PENSTOCK_KAFKA_PASSWORD and"
            f" PENSTOCK_KAFKA_MECHANISM ({told})"
        )
    if isinstance(error, errors.AuthorizationError):
        return BrokerError(f"this user may not: see `penstock acl show` ({told})")
    kind = RecordTooLarge if isinstance(error, errors.MessageSizeTooLargeError) else BrokerError
    return kind(told)


def records_of(polled: Mapping[Any, Sequence[Any]]) -> list[Record]:
    """Return what a poll brought as our records."""
    return [
        Record(
            Partition(tp.topic, tp.partition),
            item.offset,
            item.key,
            item.value,
            item.headers,
            item.timestamp,
        )
        for tp, items in polled.items()
        for item in items
    ]
