"""A first look at a cluster, before the client library's: that repeats for seconds, and does not say why."""

import socket
import ssl

from penstock.streaming.adapters.kafka.greeting import Declined, ask, log_in
from penstock.streaming.connection import Cluster, KafkaConnection, as_connection
from penstock.streaming.ports import BrokerError, Refused

_SECONDS = 5.0


def tls_context(connection: KafkaConnection) -> ssl.SSLContext | None:
    """Return what certificates are checked with; None without TLS. Raises Refused."""
    if not connection.tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if connection.ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(connection.ca)
    except OSError as error:  # ssl.SSLError is one
        reason = "no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise Refused(f"PENSTOCK_KAFKA_CA: {connection.ca}: {reason}") from error
    return context


def knock(cluster: Cluster) -> None:
    """Return if one of the servers answers in the protocol of the connection, and takes its user.

    Raises BrokerError with what every server did instead; Refused if a setting has to be changed.
    """
    connection = as_connection(cluster)
    context = tls_context(connection)
    failures: list[BrokerError] = []
    for server in connection.servers.split(","):
        try:
            _knock(server.strip(), connection, context)
        except BrokerError as error:
            failures.append(error)
        else:
            return
    kind = Refused if all(isinstance(failure, Refused) for failure in failures) else BrokerError
    raise kind("; ".join(str(failure) for failure in failures))


def _knock(server: str, connection: KafkaConnection, context: ssl.SSLContext | None) -> None:
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    try:
        with (
            socket.create_connection((host, int(port)), timeout=_SECONDS) as opened,
            _encrypted(opened, context, host) as talk,
        ):
            if connection.sasl:
                log_in(talk, connection)
            else:
                ask(talk)
    except Declined as error:
        raise Refused(f"{server}: {error}") from error
    except TimeoutError as error:
        reason = f"no answer to {connection.protocol} within {_SECONDS:g} s"
        raise BrokerError(
            f"{server}: {reason}: does it run, and is PENSTOCK_KAFKA_PROTOCOL right?"
        ) from error
    except (OSError, ValueError) as error:
        raise BrokerError(f"{server}: {error}") from error


def _encrypted(opened: socket.socket, context: ssl.SSLContext | None, host: str) -> socket.socket:
    if context is None:
        return opened
    try:
        return context.wrap_socket(opened, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise Declined(
            f"its certificate is not accepted ({error.verify_message}): check PENSTOCK_KAFKA_CA, and that the"
            " certificate names this address"
        ) from error
    except TimeoutError:
        raise
    except OSError as error:
        raise Declined("it does not speak TLS: check PENSTOCK_KAFKA_PROTOCOL") from error
