"""Converting a GGUF file into the cache, without the engine: which file it is given, and what stays."""

from pathlib import Path

import pytest

from penstock.inference.adapters.openvino_text import TextModelSource


def _source(model: Path, cache: Path) -> TextModelSource:
    return TextModelSource(model, None, cache, 1024, 4, 256, prefix_caching=True)


def test_the_engine_gets_a_file_of_its_own_which_it_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "installed.gguf"
    model.write_bytes(b"GGUF" * 100)
    model.chmod(0o444)
    given: list[Path] = []

    def load(_: TextModelSource, path: Path, properties: dict[str, object]) -> str:
        given.append(path)
        if not properties:
            return "loaded"
        assert not path.is_symlink()
        assert path.stat().st_mode & 0o200
        assert path.read_bytes() == model.read_bytes()
        (path.parent / "openvino_model.xml").write_text("<net/>")
        return "converted"

    monkeypatch.setattr(TextModelSource, "_load", load)
    source = _source(model, tmp_path / "cache")
    assert str(source.load()) == "converted"
    [kept] = (tmp_path / "cache").iterdir()
    assert [file.name for file in kept.iterdir()] == ["openvino_model.xml"]
    assert str(source.load()) == "loaded"
    assert given[1] == kept
    assert model.stat().st_mode & 0o777 == 0o444


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "installed.gguf"
    model.write_bytes(b"not a model")

    def load(_: TextModelSource, _path: Path, _properties: dict[str, object]) -> None:
        raise RuntimeError("gguf_open")

    monkeypatch.setattr(TextModelSource, "_load", load)
    with pytest.raises(RuntimeError):
        _source(model, tmp_path / "cache").load()
    assert not list((tmp_path / "cache").iterdir())
