"""Text of documents made harmless for a prompt.

Backends read the prompt as plain text, chat template included: a special token in a document would be read
as the template's own, and begin a system turn for instance. What looks like one is taken out, with a space
in its place: no special token holds a space, so that none can come together from the parts around it, and a
passage never becomes longer than retrieval has counted it (a special token is one token, and so is a space).
"""

import re

BLOCK = "passages"
"""Name of the block that holds the passages: `<passages>` … `</passages>`."""

_NAMES = (
    r"/?s|/?think|/?tool_\w+|[bes]os|unk|pad|cls|sep|mask|(?:start|end)_of_\w+|(?:start|end)_header_id"
    r"|repo_?name|file_sep|filename|gh_stars|issue_\w+|jupyter_\w+|empty_output|fim_\w+|(?:extra_id|unused)_?\d+"
    r"|reserved_\w+"
)
_SPECIAL_TOKEN = re.compile(
    # ChatML, Llama 3, Phi, DeepSeek, EXAONE; some normalise the wide forms of these signs to the plain ones.
    r"[<＜\[][|｜][\w▁./:-]{1,64}[|｜][>＞\]]"
    # SmolLM, Qwen, Gemma, T5, Llama 2.
    rf"|[<＜](?:{_NAMES})[>＞]|<</?SYS>>"
    # Mistral, BERT.
    r"|\[/?(?:INST|CLS|SEP|PAD|UNK|MASK|BOS|EOS|[A-Z]{2,}_[A-Z_]{2,})\]",
    re.IGNORECASE,
)
_BORDER = re.compile(rf"[<＜][^\w>＞]{{0,16}}{BLOCK}[^\w<>＜＞]{{0,16}}[>＞]?", re.IGNORECASE)
_NUMBER = re.compile(r"^(\s*)\[(\d{1,3})\]", re.MULTILINE)


def neutral(text: str) -> str:
    """Return a document's text without what a model could take for the prompt's own.

    That is: special tokens of chat templates, the borders of the block of passages (loosely written, too),
    and numbers at the beginning of a line as passages have them, which become `(1)`.
    """
    text = _SPECIAL_TOKEN.sub(" ", text)
    text = _BORDER.sub(" ", text)
    return _NUMBER.sub(r"\1(\2)", text)
