"""Tables as Markdown (GitHub's dialect), in pieces that are understood alone. Pure."""

from collections.abc import Iterable, Iterator, Sequence

PIECE_CHARACTERS = 600
"""Where a piece of a table ends, about: a chunk of the usual size holds one."""


def markdown_tables(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the table in pieces of about `PIECE_CHARACTERS`, each with the header and at least one row.

    Under a wide header a piece is as long as three headers. Shorter rows are filled with empty cells, the
    header for longer rows too.
    """
    limit = max(PIECE_CHARACTERS, 3 * _length(header))
    piece: list[Sequence[str]] = []
    length = 2 * _length(header)  # with the line below it
    for row in rows:
        if piece and length + _length(row) > limit:
            yield _table(header, piece)
            piece, length = [], 2 * _length(header)
        piece.append(row)
        length += _length(row)
    if piece or any(header):
        yield _table(header, piece)


def _length(row: Sequence[str]) -> int:
    return sum(map(len, row)) + 3 * len(row) + 2


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    width = max(map(len, [header, *rows]))
    return "\n".join([_line(header, width), f"|{' --- |' * width}", *(_line(row, width) for row in rows)])


def _line(cells: Sequence[str], width: int) -> str:
    texts = [" ".join(cell.split()).replace("|", "\\|") for cell in cells]
    texts += [""] * (width - len(texts))
    return f"| {' | '.join(texts)} |"
