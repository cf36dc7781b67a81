"""The prompt in which the reader is taught and asked; one function, one form with a name.

Everything is text of the model's chat template (ChatML), so that a service that has the template's parts can
make the same. The block is that of Penstock's generation: passages are data, the best stands last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

REFUSAL = "The documents do not say."
"""What the reader answers where no passage holds the answer."""
END = "<|im_end|>"
"""The token that ends a turn."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage as a prompt shows it: the line above it, and its text."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Form:
    """The words around passages and question. `system` is a message; the others stand in the user's turn."""

    name: str
    system: str
    before: str
    after: str
    question: str


READER = Form(
    name="reader-1",
    system="Answer from the passages and name their number.",
    before="<passages>\n",
    after="</passages>\n",
    question="Question: ",
)
"""The form to ask in."""

_OWN_SYSTEM = replace(
    READER,
    name="reader-1-own-system",
    system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
)
"""The same with the system message that the model's template brings, for conversations that keep it."""

FORMS = {form.name: form for form in (READER, _OWN_SYSTEM)}


def render(form: Form, passages: Sequence[Shown], question: str) -> str:
    """Return the whole prompt, up to where the answer begins. `passages` are best first; the best stands
    last.
    """
    numbered = [f"[{number}] {one.label}\n{one.text.strip()}\n\n" for number, one in enumerate(passages, 1)]
    block = form.before + "".join(reversed(numbered)) + form.after if passages else ""
    return (
        f"<|im_start|>system\n{form.system}{END}\n"
        f"<|im_start|>user\n{block}{form.question}{question}{END}\n"
        "<|im_start|>assistant\n"
    )
