"""The environment as retrieval reads it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from penstock.retrieval.settings import Settings


def test_the_state_directory_holds_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_STATE", "somewhere")
    assert Settings().index == Path("somewhere/index")
    assert Settings().announces


def test_each_replica_has_an_index_of_its_own_and_one_announces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_STATE", "somewhere")
    monkeypatch.setenv("PENSTOCK_INSTANCE", "retrieval-2")
    assert Settings().index == Path("somewhere/retrieval-2/index")
    assert not Settings().announces
    monkeypatch.setenv("PENSTOCK_INSTANCE", "")
    assert Settings().index == Path("somewhere/index")
    monkeypatch.setenv("PENSTOCK_INSTANCE", "../elsewhere")
    with pytest.raises(ValidationError, match="instance"):
        Settings()


@pytest.mark.parametrize("url", ["http://h:1/tei", "tei+http://h:1/tei", "http://h:1/tei/"])
def test_the_embeddings_url_is_taken_with_and_without_its_dialect(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PENSTOCK_EMBEDDINGS", url)
    assert Settings().embeddings == "http://h:1/tei"


def test_what_is_no_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_EMBEDDINGS", "localhost:8081")
    with pytest.raises(ValidationError, match="URL of an embeddings server"):
        Settings()


def test_with_a_qdrant_server_one_replica_writes_and_all_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_INSTANCE", "retrieval-2")
    assert Settings().indexes
    monkeypatch.setenv("PENSTOCK_QDRANT", "http://qdrant:6333")
    monkeypatch.setenv("PENSTOCK_QDRANT_API_KEY", "secret")
    assert not Settings().indexes
    assert "secret" not in repr(Settings())
    monkeypatch.setenv("PENSTOCK_ANNOUNCER", "retrieval-2")
    assert Settings().indexes
    monkeypatch.setenv("PENSTOCK_QDRANT", "qdrant:6333")
    with pytest.raises(ValidationError, match="URL of a Qdrant server"):
        Settings()
