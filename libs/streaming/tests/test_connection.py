"""Settings of the connection, and what a user reads when they are wrong: all against sockets of ours."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from penstock.streaming.adapters.kafka import open_reader
from penstock.streaming.adapters.kafka.knock import knock
from penstock.streaming.connection import KafkaConnection, KafkaSettings
from penstock.streaming.ports import BrokerError, Refused
from penstock.streaming.settings import read_settings

SECRET = "kept-to-itself"  # noqa: S105 made up


def given(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"PENSTOCK_KAFKA{name}", value)


def test_unset_and_empty_variables_are_a_cluster_that_asks_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch, _USER="", _PASSWORD="", _PASSWORD_FILE="", _CA="", _PROTOCOL="")
    assert KafkaSettings().cluster == KafkaConnection("127.0.0.1:9092")


def test_a_user_with_a_password_from_a_file_that_nobody_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{SECRET}\n")
    (tmp_path / "ca.pem").touch()
    given(monkeypatch, _PROTOCOL="SASL_SSL", _USER="gateway", _PASSWORD_FILE=str(tmp_path / "password"))
    given(monkeypatch, _CA=str(tmp_path / "ca.pem"))
    settings = KafkaSettings()
    assert settings.cluster.password.get_secret_value() == SECRET
    assert (settings.cluster.user, settings.cluster.mechanism) == ("gateway", "SCRAM-SHA-512")
    assert SECRET not in repr(settings) + repr(settings.cluster) + str(settings.cluster)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"_PROTOCOL": "SASL_SSL"}, "PENSTOCK_KAFKA_PROTOCOL=SASL_SSL needs PENSTOCK_KAFKA_USER"),
        (
            {"_PROTOCOL": "SASL_SSL", "_USER": "u"},
            "needs PENSTOCK_KAFKA_PASSWORD or PENSTOCK_KAFKA_PASSWORD_FILE",
        ),
        ({"_PROTOCOL": "TLS"}, "PENSTOCK_KAFKA_PROTOCOL is not usable: Input should be 'PLAINTEXT'"),
        (
            {"_CLIENT": "rdkafka"},
            "PENSTOCK_KAFKA_CLIENT is not usable: Input should be 'librdkafka' or 'kafka-python'",
        ),
        ({"_PASSWORD_FILE": "/nowhere"}, "PENSTOCK_KAFKA_PASSWORD_FILE: /nowhere: No such file"),
        ({"_PASSWORD_FILE": "/nowhere", "_PASSWORD": SECRET}, "Set either PENSTOCK_KAFKA_PASSWORD or"),
        ({"_CA": "/nowhere"}, "PENSTOCK_KAFKA_CA: there is no file /nowhere"),
    ],
)
def test_settings_that_do_not_fit_are_told_in_one_line(
    values: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, **values)
    with pytest.raises(SystemExit):
        read_settings(KafkaSettings)
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert SECRET not in error


@pytest.fixture
def server() -> Iterator[Callable[[bytes], str]]:
    """``server(answer)`` listens, and sends that as soon as it has been asked something, then hangs up."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            taken, _ = listener.accept()
            with taken:
                taken.recv(1024)
                taken.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x50", b"\0\0\0\4"]
)
def test_who_does_not_speak_the_protocol_is_refused_with_what_to_check(
    server: Callable[[bytes], str], protocol: str, answer: bytes
) -> None:
    kafka = KafkaConnection(server(answer), protocol, user="u", password=SecretStr(SECRET))  # type: ignore[arg-type]
    with pytest.raises(Refused, match="check PENSTOCK_KAFKA_PROTOCOL") as refused:
        knock(kafka)
    assert SECRET not in str(refused.value)


def test_a_wrong_mechanism_and_a_wrong_password(server: Callable[[bytes], str]) -> None:
    def user(answer: bytes) -> KafkaConnection:
        return KafkaConnection(server(answer), "SASL_PLAINTEXT", user="u", password=SecretStr(SECRET))

    unsupported = bytes.fromhex("0000000a 00000001 0021 00000000")
    with pytest.raises(Refused, match="does not take SCRAM-SHA-512: check PENSTOCK_KAFKA_MECHANISM"):
        knock(user(unsupported))
    with pytest.raises(
        Refused, match="refuses the user 'u': check PENSTOCK_KAFKA_USER, PENSTOCK_KAFKA_PASSWORD"
    ):
        knock(user(bytes.fromhex("0000000a 00000001 0000 00000000")))


def test_a_file_that_holds_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(Refused, match=r"PENSTOCK_KAFKA_CA: .*ca\.pem: no certificate in PEM"):
        knock(KafkaConnection("127.0.0.1:1", "SSL", ca=tmp_path / "ca.pem"))


async def test_nobody_there_is_no_refusal(kafka_broker: str) -> None:
    with pytest.raises(BrokerError, match="refused") as away:
        await open_reader("127.0.0.1:1")
    assert not isinstance(away.value, Refused)
    knock(f"127.0.0.1:1,{kafka_broker}")  # one of them is enough
    with pytest.raises(Refused, match="takes no users"):
        knock(KafkaConnection(kafka_broker, "SASL_PLAINTEXT", user="u", password=SecretStr(SECRET)))
    with pytest.raises(Refused, match="does not speak TLS"):
        knock(KafkaConnection(kafka_broker, "SSL"))
