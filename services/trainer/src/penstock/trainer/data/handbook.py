"""Handbooks of made-up firms: who, when, how long and what not, in everyday words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from random import Random

from penstock.trainer.data.facts import Fact
from penstock.trainer.data.pages import Block, Page, Section
from penstock.trainer.data.passages import Passage
from penstock.trainer.data.sentences import sentences

CORPUS = "handbook"
PAGES = 90
_FEWEST, _MOST = 4, 7
"""Topics of a page."""

# fmt: off
_FILLED: dict[str, tuple[str, ...]] = {
    "role": (
        "the office manager", "the team lead", "the payroll office", "the front desk",
        "the head of department",
        "the personnel office", "the shift leader", "the works council", "the accountant", "the site manager",
    ),
    "other": (
        "the managing director", "the safety officer", "the caretaker", "the help desk",
        "the purchasing team",
        "the data protection officer", "the night porter", "the training manager", "the fleet manager",
    ),
    "number": ("two", "three", "four", "five", "six", "seven", "ten", "twelve", "14", "21", "28", "30"),
    "few": ("two", "three", "four", "five", "six"),
    "nth": ("second", "third", "fourth", "fifth"),
    "money": ("25 euros", "40 euros", "60 euros", "100 euros", "150 euros", "300 pounds", "500 dollars"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "the first of the month"),
    "hour": ("7 am", "8 am", "9 am", "noon", "4 pm", "6 pm", "8 pm"),
    "place": (
        "the basement", "the second floor", "the main hall", "the kitchen", "the archive", "the north wing",
        "room 12", "the gatehouse", "the yard behind the workshop",
    ),
    "part": ("batteries", "filters", "lamps", "seals", "tyres", "brake pads", "hoses", "blades"),
    "harm": ("scratches", "water damage", "damage by frost", "wear and tear", "wrong use", "theft"),
    "form": ("a blue form", "a signed letter", "the travel form", "an e-mail", "form 27", "a short note"),
    "thing": ("laptop", "telephone", "locker key", "access card", "company car", "projector", "bicycle"),
    "food": ("coffee", "tea", "fruit", "mineral water"),
    "firm": (
        "Ardent Tools", "Birchwood Clinic", "Calder Freight", "Delmar Foods", "Eastgate Library",
        "Fenwick Museum",
        "Glenmore Hotel", "Harbour Energy", "Ironbridge Cycles", "Juniper School", "Kestrel Bank",
        "Lowland Dairy",
        "Marlow Print", "Northfield Zoo", "Oakley Theatre", "Pinewood Housing", "Quayside Marina",
        "Redfern Garage",
    ),
    "kind": ("handbook", "house rules", "guide for staff", "terms and conditions", "questions and answers"),
}
_TOPICS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "Holiday": (
        ("Holiday requests go to {role}.", (
            "Who gets holiday requests?", "To whom do I send a holiday request?",
            "Where do holiday requests go?")),
        ("Everyone has {number} days of holiday a year.", (
            "How many days of holiday do I have?", "How much holiday is there in a year?")),
        ("A request must be made {few} weeks before the first day off.", (
            "How early must I ask for holiday?", "When must a holiday request be made?")),
        ("Days that are left at the end of March are lost.", (
            "What happens to days of holiday that are left?", "When are unused days lost?")),
        ("In December {other} decides who may be away.", (
            "Who decides about holiday in December?", "Who says whether I may be away in December?")),
    ),
    "Illness": (
        ("Anyone who is ill calls {role} before {hour}.", (
            "Whom do I call when I am ill?", "By when must I call in sick?")),
        ("A doctor's note is needed from the {nth} day on.", (
            "When do I need a doctor's note?", "From which day on is a doctor's note needed?")),
        ("Notes from the doctor are kept by {other}.", (
            "Who keeps the notes from the doctor?", "With whom are doctor's notes kept?")),
        ("Pay goes on for {number} weeks of illness.", (
            "How long is pay continued during illness?", "For how many weeks am I paid when ill?")),
    ),
    "Travel": (
        ("Journeys of more than one day are approved by {other}.", (
            "Who approves long journeys?", "Whose approval does a journey of two days need?")),
        ("Receipts must be handed in within {number} days.", (
            "How long do I have to hand in receipts?", "When must receipts be handed in?")),
        ("{role} books trains and hotels.", (
            "Who books hotels?", "Who takes care of train tickets?")),
        ("Meals are paid up to {money} a day.", (
            "How much is paid for meals?", "Up to which amount are meals paid?")),
        ("Taxis are not paid unless the last train has gone.", (
            "When are taxis paid?", "Are taxis paid?")),
        ("Expenses are claimed with {form}.", (
            "How do I claim expenses?", "With what are expenses claimed?")),
    ),
    "Warranty": (
        ("The warranty lasts {number} months from the day of delivery.", (
            "How long does the warranty last?", "When does the warranty end?")),
        ("The warranty does not cover {part} and {harm}.", (
            "What is not covered by the warranty?", "What does the warranty not cover?",
            "What is excluded?")),
        ("Repairs under warranty are done by {other}.", (
            "Who does repairs under warranty?", "By whom are repairs done?")),
        ("The customer pays for the parcel to the workshop.", (
            "Who pays for the parcel to the workshop?", "Do I have to pay for the parcel?")),
        ("A claim needs the receipt and the serial number.", (
            "What is needed for a claim?", "What do I need to make a claim?")),
    ),
    "Deliveries": (
        ("Goods are delivered on {day} before {hour}.", (
            "When are goods delivered?", "On which day do deliveries come?")),
        ("Deliveries are signed for by {role}.", (
            "Who signs for deliveries?", "Whose signature does a delivery need?")),
        ("Damaged boxes must be reported within {number} hours.", (
            "How quickly must damage be reported?", "Until when can I report a damaged box?")),
        ("Orders below {money} cost five more for postage.", (
            "When does postage cost more?", "Below which amount is postage added?")),
        ("Returned goods are stored in {place}.", (
            "Where are returned goods stored?", "Where do returns go?")),
    ),
    "Keys and doors": (
        ("The front door is locked at {hour}.", (
            "When is the front door locked?", "Until when is the front door open?")),
        ("A lost {thing} must be reported to {other} at once.", (
            "Who must be told of a lost {thing}?", "What do I do when my {thing} is lost?")),
        ("Spare keys hang in {place}.", (
            "Where are the spare keys?", "Where do I find a spare key?")),
        ("Only {role} may open the safe.", (
            "Who may open the safe?", "Who is allowed to open the safe?")),
        ("Visitors get a badge at the gate and give it back when they leave.", (
            "What do visitors get at the gate?", "When do visitors give their badge back?")),
    ),
    "Working hours": (
        ("Core time is from 10 am to {hour} in the afternoon.", (
            "When is core time?", "What are the core hours?")),
        ("Overtime must be approved by {role} beforehand.", (
            "Who approves overtime?", "Whose approval does overtime need?")),
        ("Up to {few} days a week may be worked from home.", (
            "How often may I work from home?", "How many days a week can I work at home?")),
        ("Shifts are swapped with the consent of {other}.", (
            "Who has to agree when shifts are swapped?", "How are shifts swapped?")),
        ("Hours are written down on {day}.", (
            "When are hours written down?", "On which day do I write down my hours?")),
    ),
    "Equipment": (
        ("Each new colleague receives a {thing} from {other}.", (
            "Who hands out a {thing} to new colleagues?", "From whom do I get a {thing}?")),
        ("Broken devices are brought to {place}.", (
            "Where do I bring a broken device?", "Where are broken devices brought?")),
        ("Nothing may be installed without the consent of {other}.", (
            "Who has to agree before something is installed?",
            "Whose consent do I need to install something?")),
        ("A {thing} is replaced after {few} years.", (
            "When is a {thing} replaced?", "After how many years do I get a new {thing}?")),
        ("Private use is allowed as long as it costs nothing.", (
            "Is private use allowed?", "When is private use allowed?")),
    ),
    "Safety": (
        ("In case of fire everyone meets in {place}.", (
            "Where do we meet in case of fire?", "Where is the meeting point?")),
        ("The first-aid box is checked by {other} every {few} months.", (
            "Who checks the first-aid box?", "How often is the first-aid box checked?")),
        ("Goggles must be worn in the workshop.", (
            "What must be worn in the workshop?", "Where must goggles be worn?")),
        ("Accidents are reported to {role} the same day.", (
            "Who is told of accidents?", "When must an accident be reported?")),
        ("Extinguishers hang in {place}.", (
            "Where are the extinguishers?", "Where do I find an extinguisher?")),
    ),
    "Rooms": (
        ("Meeting rooms are booked with {role}.", (
            "With whom do I book a meeting room?", "How do I book a meeting room?")),
        ("The large room holds {number} people.", (
            "How many people fit into the large room?", "How large is the large room?")),
        ("{food} is free in {place}.", (
            "What is free of charge?", "Where is {food} free?")),
        ("Dogs are not allowed in {place}.", (
            "Where are dogs not allowed?", "What is not allowed in {place}?")),
        ("The rooms are cleaned on {day}.", (
            "When are the rooms cleaned?", "On which day is there cleaning?")),
    ),
    "Training": (
        ("Each employee may attend {few} courses a year.", (
            "How many courses may I attend?", "How often may an employee attend a course?")),
        ("Courses are chosen together with {role}.", (
            "With whom are courses chosen?", "Who helps to choose a course?")),
        ("Course fees above {money} are paid only with the consent of {other}.", (
            "Who has to agree to expensive courses?", "When does a course fee need consent?")),
        ("Whoever leaves within {few} years pays half of the fee back.", (
            "Who has to pay a part of the fee back?", "When do I have to pay a fee back?")),
    ),
    "Membership": (
        ("Members may borrow {number} books at a time.", (
            "How many books may I borrow?", "How many books can a member borrow at once?")),
        ("A book can be kept for {number} days.", (
            "How long can I keep a book?", "When must a book be brought back?")),
        ("Late books cost {money} at most.", (
            "What do late books cost at most?", "How much do I pay for a late book?")),
        ("Children need the signature of a parent.", (
            "Whose signature do children need?", "What do children need?")),
        ("Cards are issued in {place} on {day}.", (
            "Where are cards issued?", "When are cards issued?")),
    ),
    "Complaints": (
        ("Complaints are answered by {other} within {number} days.", (
            "Who answers complaints?", "How soon are complaints answered?")),
        ("The price is refunded if a repair fails twice.", (
            "When is the price refunded?", "What happens if a repair fails twice?")),
        ("An order can be cancelled until it has left {place}.", (
            "Until when can I cancel an order?", "Can an order be cancelled?")),
        ("Tickets are not refunded.", (
            "What is not refunded?", "Are tickets refunded?")),
        ("Disputes are settled by {role}.", (
            "Who settles disputes?", "By whom are disputes settled?")),
    ),
    "Parking": (
        ("Cars are parked in {place}.", (
            "Where do I park?", "Where are cars parked?")),
        ("A permit is given out by {role} and costs {money} a month.", (
            "Who gives out permits?", "What does a permit cost?")),
        ("The gate is closed from {hour} on.", (
            "From when on is the gate closed?", "When is the gate closed?")),
        ("Bicycles may be charged free of charge.", (
            "What may be charged free of charge?", "What does it cost to charge a bicycle?")),
    ),
    "Data": (
        ("Personal files are deleted after {few} years.", (
            "When are personal files deleted?", "How long are personal files kept?")),
        ("Only {other} may read them.", ()),
        ("Copies of all files are made every night.", (
            "How often are copies of the files made?", "When are copies made?")),
        ("A password must be changed every {number} weeks.", (
            "How often must I change my password?", "When must a password be changed?")),
        ("Questions about privacy are answered by {role}.", (
            "Who answers questions about privacy?", "Whom do I ask about privacy?")),
    ),
}
# fmt: on
_SLOT = re.compile(r"\{(\w+)\}")
Asked = Mapping[str, tuple[str, ...]]
"""Questions by the sentence that answers them."""


def handbooks(seed: int) -> tuple[list[Page], Asked]:
    """Return the pages, and what can be asked of their sentences. The same seed gives the same."""
    random = Random(f"{seed} {CORPUS}")
    asked: dict[str, tuple[str, ...]] = {}
    return [_page(number, random, asked) for number in range(PAGES)], asked


def handbook_facts(passage: Passage, asked: Asked) -> Iterator[Fact]:
    """Yield what can be asked of a passage of a handbook."""
    for block in passage.blocks:
        for sentence in sentences(block.text):
            for question in asked.get(sentence, ()):
                yield Fact("everyday", question, sentence, sentence)


def _page(number: int, random: Random, asked: dict[str, tuple[str, ...]]) -> Page:
    title = _filled("{firm}: {kind}", random)
    topics = random.sample(sorted(_TOPICS), random.randint(_FEWEST, _MOST))
    return Page(CORPUS, f"{number}.html", title, tuple(_section(topic, random, asked) for topic in topics))


def _section(topic: str, random: Random, asked: dict[str, tuple[str, ...]]) -> Section:
    told = list(_TOPICS[topic])
    random.shuffle(told)
    text = []
    for form, questions in told[: random.randint(3, len(told))]:
        # Slots have the same words in a sentence and its questions.
        sentence, *about = _filled("\n".join((form, *questions)), random).split("\n")
        sentence = sentence[0].upper() + sentence[1:]
        text.append(sentence)
        asked[sentence] = tuple(one[0].upper() + one[1:] for one in about)
    return Section((topic,), (Block("heading", topic), Block("text", " ".join(text))))


def _filled(form: str, random: Random) -> str:
    chosen = {name: random.choice(_FILLED[name]) for name in sorted(set(_SLOT.findall(form)))}
    return form.format(**chosen)
