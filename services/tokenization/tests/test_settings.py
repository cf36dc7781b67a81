"""Settings from the environment: the defaults, several backends, and a wrong one told in one line."""

import pytest

from penstock.streaming.settings import read_settings
from penstock.streaming.stage import Each
from penstock.tokenization.adapters.tgi import TgiModel
from penstock.tokenization.main import stage
from penstock.tokenization.settings import Settings


def test_without_a_setting_the_local_model_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_BACKENDS", raising=False)
    assert [backend.url for backend in read_settings(Settings).backends] == ["http://127.0.0.1:8081"]


def test_backends_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_BACKENDS", "tgi+http://a:1,tgi+https://b")
    assert [backend.url for backend in read_settings(Settings).backends] == ["http://a:1", "https://b"]


def test_a_wrong_setting_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PENSTOCK_BACKENDS", "http://a:1")
    with pytest.raises(SystemExit) as ended:
        read_settings(Settings)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("PENSTOCK_BACKENDS is not usable")


def test_a_question_waits_for_a_model_server_as_long_as_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_BACKEND_WAIT_SECONDS", "240")
    monkeypatch.setenv("PENSTOCK_TOKENIZATION_CONCURRENCY", "7")
    each = stage(read_settings(Settings), TgiModel([])).processing
    assert isinstance(each, Each)
    assert (each.retry_seconds, each.concurrency()) == (240, 7)
