"""The one error that the command shows to its user as a single line."""

from __future__ import annotations


class OutputClosed(Exception):
    """Standard output was closed, as in `penstock ask … | head -1`."""


class DevstackError(Exception):
    """Something the user can put right; the text is one line and says how."""
