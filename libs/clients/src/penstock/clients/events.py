"""Server-sent events, split as bytes.

Lines end with `\\n` (or `\\r\\n`) and with nothing else: U+2028, U+2029, U+0085 and other signs that Unicode
takes for line ends are text of the event that they stand in.
"""

from penstock.clients.errors import WrongDialect

EVENT_BYTES = 1 << 20
"""Bound of one event. The last one of an answer holds all of its text once more."""


class Events:
    """Puts the data of events together from whatever pieces the stream comes in.

    Names, ids and comments are passed over. An event that the stream's end cuts off does not count.
    """

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._data: list[bytes] = []
        self._held = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that end in this piece. Raises WrongDialect: one is too large."""
        head, newline, rest = piece.rpartition(b"\n")
        if not newline:
            self._hold(self._begun, piece)
            return []
        if self._begun:
            head = b"".join((*self._begun, head))
        self._held -= sum(map(len, self._begun))
        self._begun.clear()
        found = self._lines(head.split(b"\n"))
        if rest:
            self._hold(self._begun, rest)
        return found

    def _lines(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for given in lines:
            line = given.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._hold(self._data, line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                self._data.append(b"")
            elif not line and self._data:
                found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
                self._held = 0
        return found

    def _hold(self, where: list[bytes], piece: bytes) -> None:
        self._held += len(piece)
        if self._held > EVENT_BYTES:
            raise WrongDialect(f"an event of more than {EVENT_BYTES} bytes")
        where.append(piece)
