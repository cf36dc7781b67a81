"""Nobody is told that the engine is used."""

import subprocess
import sys
from pathlib import Path

ENGINE = "import penstock.inference.adapters.minilm, penstock.inference.adapters.openvino_text, sys"
SAID = "print(sys.modules['openvino_telemetry'])"


def test_the_engine_reports_its_use_to_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"{ENGINE}; {SAID}"]
    env = {"HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)  # noqa: S603  # fixed words
    assert done.stdout == "None\n"
    assert list(tmp_path.iterdir()) == []  # where its id would be
