"""Where the tokens of a text lie in it."""

from collections.abc import Sequence


def character_spans(text: str, pieces: Sequence[bytes]) -> list[tuple[int, int]] | None:
    """Return (start, stop) in characters for each piece, or None where the pieces are not the text's bytes.

    A piece that is a part of a character spans the whole character, as in Hugging Face's tokenizers.
    """
    raw = text.encode()
    if b"".join(pieces) != raw:
        return None
    if len(raw) == len(text):
        return list(_ascii_spans(pieces))
    owner: list[int] = []
    for index, character in enumerate(text):
        owner.extend([index] * len(character.encode()))
    spans = []
    at = 0
    for piece in pieces:
        end = at + len(piece)
        start = owner[at] if at < len(owner) else len(text)
        spans.append((start, owner[end - 1] + 1 if end > at else start))
        at = end
    return spans


def _ascii_spans(pieces: Sequence[bytes]) -> list[tuple[int, int]]:
    spans = []
    at = 0
    for piece in pieces:
        spans.append((at, at + len(piece)))
        at += len(piece)
    return spans
