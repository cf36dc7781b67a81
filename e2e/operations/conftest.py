"""What the tests of operations share."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# As `python -m e2e…` finds it, from the root.
sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Say a line to whoever runs the tests: these measure something, too."""

    def tell(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"{line}\n")

    return tell
