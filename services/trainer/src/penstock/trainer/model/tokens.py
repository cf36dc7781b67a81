"""The model's tokens: its tokenizer built from the vocabulary and merges in the GGUF file."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from penstock.lora.model_file import ModelFile
from penstock.trainer.prompt import END

_CONTROL = 3  # as GGUF marks tokens that no text spells


class Tokens:
    """Texts to token ids and back; special tokens in a text are read as such, nothing is added."""

    def __init__(self, file: ModelFile) -> None:
        names: list[str] = file.field("tokenizer.ggml.tokens")
        kinds: list[int] = file.field("tokenizer.ggml.token_type")
        merges = [tuple(merge.split(" ", 1)) for merge in file.field("tokenizer.ggml.merges")]
        vocabulary = {name: at for at, name in enumerate(names)}
        self._tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        self._tokenizer.decoder = decoders.ByteLevel()
        special = [name for name, kind in zip(names, kinds, strict=True) if kind == _CONTROL]
        self._tokenizer.add_special_tokens(
            [AddedToken(name, special=True, normalized=False) for name in special]
        )
        self.end = vocabulary[END]

    def encode(self, text: str) -> list[int]:
        """Return a text's token ids."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text."""
        return [list(one.ids) for one in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))
