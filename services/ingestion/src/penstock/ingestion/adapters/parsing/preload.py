"""Imported by the fork server only: what every parser needs is there before the first file comes.

The one module that works when it is imported, since the server can be given modules and nothing else.
Nothing here may start a thread: a process that has some is not to be forked.
"""

from penstock.ingestion.adapters.parsing import sandbox
from penstock.ingestion.adapters.parsing.language import identifier

__all__ = ["sandbox"]

identifier()
