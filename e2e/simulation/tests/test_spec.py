"""The specification of the takeover: checked by Spin, and its steps are functions that there are."""

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

SPEC = Path(__file__).parents[1] / "spec"
HOLES = sorted(set(re.findall(r"HOLE_[A-Z_]+", (SPEC / "takeover.pml").read_text())) - {"HOLE_"})
_MISSING = [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]
needs_spin = pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}")


def test_each_step_is_a_function() -> None:
    named = re.findall(r"`([\w.]+):([\w.]+)`", (SPEC / "README.md").read_text())
    assert len(named) > 10
    for module, path in named:
        found: object = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        assert callable(found)


@needs_spin
@pytest.mark.parametrize("sizes", [["-DPARTS=1", "-DTROUBLES=3"], ["-DTROUBLES=1"]])
def test_it_holds(tmp_path: Path, sizes: list[str]) -> None:
    assert "errors: 0" in _safety(tmp_path, sizes)
    assert "errors: 0" in _liveness(tmp_path, sizes)


@needs_spin
@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_found(tmp_path: Path, hole: str) -> None:
    assert "errors: 1" in _safety(tmp_path, ["-DPARTS=1", "-DTROUBLES=2", f"-D{hole}"])


def _safety(folder: Path, given: list[str]) -> str:
    return _checked(folder, given, ["-DSAFETY", "-DNOCLAIM"], [])


def _liveness(folder: Path, given: list[str]) -> str:
    return _checked(folder, given, ["-DNFAIR=3"], ["-a", "-f", "-N", "answered"])


def _checked(folder: Path, given: list[str], compiled: list[str], options: list[str]) -> str:
    for command in (
        ["spin", "-a", *given, str(SPEC / "takeover.pml")],
        ["gcc", "-O2", "-w", "-DCOLLAPSE", *compiled, "-o", "pan", "pan.c"],
        ["./pan", "-m2000000", *options],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=True)  # noqa: S603  # ours
    return done.stdout
