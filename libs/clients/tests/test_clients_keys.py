"""Credentials of model servers as settings: given or in a file, never shown, and told when of no use."""

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from penstock.clients.keys import BackendKey, EmbeddingsKey, EmbeddingsServer
from penstock.streaming.settings import read_settings


class Both(BackendKey, EmbeddingsKey):
    """As ingestion has them."""


def test_without_settings_there_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hub-secret")
    both = read_settings(Both)
    assert (both.key_of_backends, both.key_of_embeddings) == (None, None)


def test_each_key_is_its_own_and_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("embeddings-secret\n")
    monkeypatch.setenv("PENSTOCK_BACKEND_KEY", "backend-secret")
    monkeypatch.setenv("PENSTOCK_EMBEDDINGS_KEY_FILE", str(tmp_path / "key"))
    both = read_settings(Both)
    assert both.key_of_backends is not None
    assert both.key_of_backends.get_secret_value() == "backend-secret"
    assert both.key_of_embeddings is not None
    assert both.key_of_embeddings.get_secret_value() == "embeddings-secret"
    assert "secret" not in repr(both)


@pytest.mark.parametrize("kind", [BackendKey, EmbeddingsKey])
@pytest.mark.parametrize(
    ("key", "file", "told"),
    [
        ("two words", None, "_KEY is not usable: a key is one word of printable ASCII"),
        ("schlüssel", None, "_KEY is not usable"),
        (None, b" \n", "_KEY_FILE is not usable"),
        (None, b"a\nb", "_KEY_FILE is not usable"),
        (None, b"\xff", "_KEY_FILE: .* is not text in UTF-8"),
        ("secret", b"secret", "Set either PENSTOCK_.*_KEY or PENSTOCK_.*_KEY_FILE"),
        (None, None, "_KEY_FILE: .*: No such file"),
    ],
)
def test_a_key_of_no_use_is_told_in_one_line_without_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    kind: type[BaseSettings],
    key: str | None,
    file: bytes | None,
    told: str,
) -> None:
    name = "PENSTOCK_BACKEND_KEY" if kind is BackendKey else "PENSTOCK_EMBEDDINGS_KEY"
    if key is not None:
        monkeypatch.setenv(name, key)
    if file is not None:
        (tmp_path / "key").write_bytes(file)
    if key is None or file is not None:
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "key"))
    with pytest.raises(SystemExit) as ended:
        read_settings(kind)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(told, said)
    assert "secret" not in said
    assert "two words" not in said


def test_the_address_of_the_embeddings_server_holds_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PENSTOCK_EMBEDDINGS", "tei+http://user:secret@host:8081/")
    with pytest.raises(SystemExit):
        read_settings(EmbeddingsServer)
    told = capsys.readouterr().err
    assert "PENSTOCK_EMBEDDINGS_KEY is for that" in told
    assert "secret" not in told
