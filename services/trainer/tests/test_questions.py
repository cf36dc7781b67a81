"""What is asked of a page, and that it is asked of what the page says."""

from pathlib import Path
from random import Random

from penstock.trainer.data.build import facts_of, passages_of
from penstock.trainer.data.entries import name_of, tasks, whole
from penstock.trainer.data.facts import Fact
from penstock.trainer.data.pages import read_page
from penstock.trainer.data.passages import cut
from penstock.trainer.data.phrasings import FORMS, ask, forms
from penstock.trainer.data.plainly import plain_facts
from penstock.trainer.data.prose import sentence_facts
from penstock.trainer.data.sentences import answers, sentences, stands_alone

_DATA = Path(__file__).parent / "data"
MANUAL, REFERENCE = (_DATA / "kiln.html").read_text(), (_DATA / "kettle.html").read_text()


def _facts(html: str = MANUAL) -> list[Fact]:
    page = read_page(html, "kiln", "fire.html")
    return [one.fact for one in facts_of(list(passages_of([page], 1)), {})]


def _found(family: str, html: str = MANUAL) -> set[tuple[str, str]]:
    return {(fact.slot, fact.answer) for fact in _facts(html) if fact.family == family}


def test_a_page_has_its_title_and_sections() -> None:
    page = read_page(MANUAL, "kiln", "fire.html")
    assert page.title == "kiln-fire(1)"
    assert [section.headings[0] for section in page.sections][:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]


def test_a_page_in_another_language_is_left_out() -> None:
    assert read_page(MANUAL.replace('lang="en"', 'lang="pt-br"'), "kiln", "fire.html").sections == ()


def test_a_commands_purpose_is_asked_for_by_what_it_does() -> None:
    answer = "Use kiln-fire: control the heat of the kiln."
    assert ("control the heat of the kiln", answer) in _found("which")


def test_options_are_asked_for_by_name_and_by_task() -> None:
    answer = "--dry-run: print the planned temperatures without heating anything at all."
    assert {("--dry-run", answer), ("kiln-fire --dry-run", answer)} <= _found("purpose")
    assert ("set the number of degrees that are gained in one hour",) in {
        (slot,) for slot, _ in _found("which")
    }


def test_an_entry_is_known_by_its_full_name_and_answered_with_the_one_that_stands_there() -> None:
    answer = "pour(): fill so many cups with hot water."
    assert {("pour()", answer), ("kettle.Kettle.pour", answer)} <= _found("purpose", REFERENCE)
    lid = "lid: the lid of the kettle, or None if it was taken off."
    assert ("kettle.Kettle.lid", lid) not in _found("purpose", REFERENCE)  # the sentence has the name
    assert {fact.noun for fact in _facts(REFERENCE) if fact.name == "pour()"} == {"method"}


def test_what_is_asked_by_task_is_answered_with_the_name_first() -> None:
    answer = "Use kettle.boil(): measure so many litres of water, up to a temperature in degrees."
    for family in ("which", "howto"):
        slots = {slot for slot, said in _found(family, REFERENCE) if said == answer}
        assert slots == {"measure so many litres of water, up to a temperature in degrees"}
    for fact in _facts(MANUAL) + _facts(REFERENCE):
        if fact.name and fact.answer.startswith("Use "):
            assert fact.answer.startswith(f"Use {fact.name}: ")


def test_a_task_is_what_is_done_shortly_and_in_full() -> None:
    assert tasks("Fills the cups (all of them).") == ["fill the cups", "fill the cups (all of them)"]
    assert tasks("Fill the cups.") == ["fill the cups"]
    assert tasks("Name of the cup that is filled.") == []


def test_names_of_terms() -> None:
    assert name_of("class kettle.Kettle(size)", "kettle.Kettle") == "kettle.Kettle()"
    assert name_of("classmethod from_cup(cup)", "kettle.Kettle.from_cup") == "from_cup()"
    assert name_of("PyObject *Kettle_New(int size)", "Kettle_New") == "Kettle_New()"
    assert name_of("lid", "kettle.Kettle.lid") == "lid"
    assert name_of("@kettle.hot(function)") is None
    assert name_of("-n, --number=N") == "--number"


def test_plain_questions_are_answered_by_a_sentence_of_that_form() -> None:
    def asked(sentence: str) -> list[str]:
        return [fact.slot for fact in plain_facts(sentence)]

    assert "Who can change the plan?" in asked("Only the administrator can change the plan.")
    assert "Who uploads the plan?" in asked("The maintainer uploads the plan.")
    assert "Who must requests be answered by?" in asked("Requests must be answered by the owner.")
    assert "When is the kiln opened?" in asked("The kiln is opened when it has cooled down.")
    assert "Where are plans kept?" in asked("Plans are kept in the drawer.")
    assert "What is not covered by the warranty?" in asked("The warranty does not cover the batteries.")
    assert "What does the warranty not cover?" in asked("The warranty does not cover the batteries.")
    assert not asked("It returns the plan when it is asked.")


def test_prose_gives_definitions_values_conditions_and_yes_or_no() -> None:
    assert ("a ramp", "A ramp is the number of degrees that the kiln gains in one hour.") in _found("define")
    assert ("default ramp rate", "The default ramp rate is 120 degrees an hour.") in _found("value")
    assert "if the door is open" in {slot for slot, _ in _found("condition")}
    no = "No. The kiln cannot be opened above 100 degrees."
    assert ("Can the kiln be opened above 100 degrees?", no) in _found("yesno")


def test_tables_give_values_and_purposes() -> None:
    assert ("default of max_heat", "The default of max_heat is 1280.") in _found("value")
    assert ("min_heat", "min_heat limits the heat of the lower chamber.") in _found("purpose")


def test_an_answer_has_its_subject() -> None:
    assert whole("ramp", "Sets the rise.") == "ramp sets the rise."
    assert whole("ramp", "A number of degrees.") == "ramp is a number of degrees."
    assert whole("ramp", "A ramp is a rise.") == "A ramp is a rise."
    assert whole("ramp", "Print the rise.") == "ramp: print the rise."
    assert whole("Oven.ramp()", "The rise.") == "Oven.ramp(): the rise."


def test_headings_that_say_what_is_done_are_how_to_questions() -> None:
    assert "close the kiln slowly" in {slot for slot, _ in _found("howto")}


def test_answers_are_whole_sentences_of_the_passage() -> None:
    for passage in cut(read_page(MANUAL, "kiln", "fire.html"), Random(1)):
        assert passage.text
    for fact in _facts():
        assert fact.answer[-1] == "."
        assert fact.answer not in ("NAME", "SYNOPSIS", "DESCRIPTION")


def test_sentences_end_where_they_end() -> None:
    told = sentences("It reads files, e.g. Makefiles. The rest is left. See (1.2) for it.")
    assert told == ["It reads files, e.g. Makefiles.", "The rest is left.", "See (1.2) for it."]


def test_what_points_elsewhere_is_no_answer() -> None:
    assert not answers("The options are described below in a list.")
    assert not answers("The following table has all of them.")
    assert not stands_alone("This is the default for all of them.")
    assert not list(sentence_facts("This is the default for all of them."))


def test_there_are_many_forms_of_question_and_each_has_the_subject() -> None:
    assert forms() >= 25
    fact = Fact("howto", "close the kiln slowly", "Use kiln-rest.", "Use kiln-rest.")
    asked = {ask(fact, "Kiln", Random(seed)) for seed in range(300)}
    assert len(asked) > len(FORMS["howto"])
    assert all("kiln" in question.lower() for question in asked)
