"""What the tests of operations share."""

import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Say a line to whoever runs the tests: these measure something, too."""

    def tell(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"{line}\n")

    return tell
