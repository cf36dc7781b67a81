"""The environment as retrieval reads it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from penstock.retrieval.settings import Settings


def test_the_state_directory_holds_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_STATE", "somewhere")
    assert Settings().index == Path("somewhere/index")


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
