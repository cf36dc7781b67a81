"""What the data is made of, in numbers: committed, where the data is not."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from penstock.trainer.data.corpora import Corpus
from penstock.trainer.data.examples import Example
from penstock.trainer.data.phrasings import forms
from penstock.trainer.prompt import FORMS, REFUSAL


def lines(examples: Iterable[Example]) -> Iterator[str]:
    """Yield examples as lines of JSON, each the same for the same example."""
    for example in examples:
        yield json.dumps(example.as_json(), sort_keys=True, ensure_ascii=False) + "\n"


def manifest(corpora: Sequence[Corpus], examples: Sequence[Example], seed: int) -> dict[str, Any]:
    """Return sources with versions, hashes and licences, and counts by split, kind, corpus and passages."""
    return {
        "seed": seed,
        "sha256": sha256_of(lines(examples)),
        "refusal": REFUSAL,
        "prompt_forms": sorted(FORMS),
        "question_forms": forms(),
        "corpora": [
            {
                "package": corpus.package,
                "version": corpus.version,
                "sha256": corpus.sha256,
                "licence": corpus.licence,
                "unseen": corpus.unseen,
            }
            for corpus in corpora
        ],
        "examples": _counts(example.split for example in examples),
        "kinds": _by_split((example.split, example.kind) for example in examples),
        "by_corpus": _by_split((example.split, example.corpus) for example in examples),
        "passages": _by_split((example.split, str(len(example.passages))) for example in examples),
        "right_passage": _by_split((example.split, str(example.right)) for example in examples),
    }


def sha256_of(pieces: Iterable[str]) -> str:
    """Return the SHA-256 of texts one after the other."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece.encode())
    return digest.hexdigest()


def write(path: Path, data: dict[str, Any]) -> None:
    """Write a manifest as JSON that people read."""
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _by_split(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found = list(pairs)
    return {
        split: _counts(value for at, value in found if at == split)
        for split in sorted({at for at, _ in found})
    }
