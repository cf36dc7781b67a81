"""What goes wrong with a database, in words for people."""

from sqlalchemy.exc import SQLAlchemyError

FAILURES = (SQLAlchemyError, OSError)
"""What SQLAlchemy raises when a database is away, refuses, or does not know a statement."""


class SchemaError(Exception):
    """The tables cannot be used or changed; the message says why, and what to do, without any password."""


def reason_of(failure: BaseException) -> str:
    """Return the class of the first cause: the text of a driver's error may show a statement's parameters."""
    cause = getattr(failure, "orig", None) or failure
    return type(cause.__cause__ or cause).__name__
