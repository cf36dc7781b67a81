"""The two families of errors a handler may raise. The handler says why; the runner says where."""

from collections.abc import Iterator


class HandlerError(Exception):
    """Base of both. `code` is for programs, `message` for the client; no prompt or answer text in either.

    `status` is the HTTP status for a client that waits.
    """

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class PermanentError(HandlerError):
    """No repetition can help: the record goes to the dead letters and its request fails at once."""

    def __init__(self, code: str, message: str, status: int = 500) -> None:
        super().__init__(code, message, status)


class TransientError(HandlerError):
    """May go away by itself: retried for a bounded time, then permanent."""

    def __init__(self, code: str, message: str, status: int = 503) -> None:
        super().__init__(code, message, status)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the errors in a group, however deep they are."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
