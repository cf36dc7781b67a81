"""Names the language of a document by a small statistical model (py3langid, its model inside)."""

from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

from penstock.ingestion.domain.parsed import Kind, Parsed

_SAMPLE = 4_000
_LETTERS = 24
_CONFIDENCE = 0.6


def language_of(parsed: Parsed) -> str:
    """Return the two-letter code of the prose's language, or "" if there is too little or it is uncertain."""
    sample = _sample(parsed)
    if sum(map(str.isalpha, sample)) < _LETTERS:
        return ""
    language, confidence = identifier().classify(sample)
    return str(language) if confidence >= _CONFIDENCE and len(language) == 2 else ""


@cache
def identifier() -> LanguageIdentifier:
    """Return the model; the first call reads it, which takes a second."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _sample(parsed: Parsed) -> str:
    """The first characters of prose; a table's only where there is no prose, and never code."""
    for kinds in ((Kind.TEXT, Kind.HEADING), (Kind.TABLE,)):
        parts: list[str] = []
        length = 0
        for block in parsed.blocks:
            if block.kind in kinds and length < _SAMPLE:
                parts.append(parsed.text[block.start : min(block.end, block.start + _SAMPLE - length)])
                length += len(parts[-1])
        if parts:
            return "\n".join(parts)
    return ""
