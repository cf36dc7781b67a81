"""The prompt, letter by letter: what is taught is what is asked."""

from penstock.trainer.prompt import FORMS, READER, Shown, render


def test_the_best_passage_stands_last_in_the_block_before_the_question() -> None:
    passages = [Shown("Kiln > Options", " Heats. "), Shown("Loom", "Weaves.")]
    assert render(READER, passages, "What heats?") == (
        "<|im_start|>system\nAnswer from the passages and name their number.<|im_end|>\n"
        "<|im_start|>user\n<passages>\n[2] Loom\nWeaves.\n\n[1] Kiln > Options\nHeats.\n\n</passages>\n"
        "Question: What heats?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_without_passages_there_is_no_block() -> None:
    assert "passages>" not in render(READER, [], "What heats?")


def test_forms_are_found_by_name() -> None:
    assert FORMS[READER.name] is READER
