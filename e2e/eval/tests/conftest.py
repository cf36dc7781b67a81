"""Lets the tests import `e2e.bench` as `python -m` does, from the root."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
