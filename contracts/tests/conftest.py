"""Lets the tests import `render` and `rendering` as the script does: from its own folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
