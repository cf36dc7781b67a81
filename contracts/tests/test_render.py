"""`make contracts` and its check, on a folder of their own; and the check of what is committed."""

import json
from pathlib import Path

import pytest
import render
import yaml

SCHEMA = "schemas/penstock.answer.text.v1.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with all files as they should be, and things that are not rendered."""
    assert render.main([], tmp_path) == 0
    (tmp_path / "README.md").write_text("Contracts")
    return tmp_path


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_the_committed_files_are_those_the_types_render(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main(["--check"]) == 0, capsys.readouterr().err


def test_rendering_twice_gives_the_same_bytes() -> None:
    assert render.rendered() == render.rendered()


def test_rendered_files_can_be_read() -> None:
    for path, text in render.rendered().items():
        assert json.loads(text) if path.endswith(".json") else yaml.safe_load(text)


def test_the_documents_name_their_dialect() -> None:
    files = render.rendered()

    assert yaml.safe_load(files["asyncapi.yaml"])["asyncapi"] == "3.0.0"
    assert yaml.safe_load(files["openapi.yaml"])["openapi"].startswith("3.1.")


def test_a_check_of_rendered_files_passes_in_silence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert render.main(["--check"], folder) == 0
    assert capsys.readouterr() == ("", "")


def test_a_check_shows_the_difference_and_what_to_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _edit(folder / SCHEMA, "visible text of an answer", "some text of an answer")
    before = (folder / SCHEMA).read_text("utf-8")

    assert render.main(["--check"], folder) == 1

    said = capsys.readouterr().err
    assert f"--- contracts/{SCHEMA}" in said
    assert '-  "description": "chat.responses: some text of an answer' in said
    assert '+  "description": "chat.responses: visible text of an answer' in said
    assert "run `make contracts`" in said
    assert "breaking" not in said
    assert (folder / SCHEMA).read_text("utf-8") == before


def test_a_check_fails_on_a_missing_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "topics.yaml").unlink()

    assert render.main(["--check"], folder) == 1
    assert "+++ as the types say" in capsys.readouterr().err


def test_rendering_mends_a_difference_that_breaks_nobody(folder: Path) -> None:
    _edit(folder / SCHEMA, "visible text", "some text")
    (folder / "asyncapi.yaml").unlink()

    assert render.main([], folder) == 0
    assert render.main(["--check"], folder) == 0
    assert (folder / "README.md").exists()


def test_a_breaking_change_is_refused_until_it_is_allowed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _edit(folder / SCHEMA, '"minLength": 1', '"minLength": 0')
    line = "penstock.answer.text.v1: $.text minLength was 0, is 1 (breaking: make a new version)"

    assert render.main(["--check"], folder) == 1
    assert line in capsys.readouterr().err
    assert render.main([], folder) == 1
    assert line in capsys.readouterr().err
    assert '"minLength": 0' in (folder / SCHEMA).read_text("utf-8")

    assert render.main(["--allow-breaking"], folder) == 0
    assert render.main(["--check"], folder) == 0


def test_the_schema_of_an_event_that_is_gone_is_deleted_when_allowed(folder: Path) -> None:
    old = folder / "schemas" / "penstock.answer.sung.v1.json"
    old.write_text((folder / SCHEMA).read_text("utf-8"), "utf-8")

    assert render.main(["--check"], folder) == 1
    assert render.main([], folder) == 1
    assert old.exists()
    assert render.main(["--allow-breaking"], folder) == 0
    assert not old.exists()


@pytest.mark.parametrize("path", [SCHEMA, "topics.yaml"])
def test_a_file_that_cannot_be_read_is_not_overwritten_unasked(
    path: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / path).write_text("<<<<<<< ours: [", "utf-8")

    assert render.main([], folder) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert render.main(["--allow-breaking"], folder) == 0
    assert render.main(["--check"], folder) == 0
