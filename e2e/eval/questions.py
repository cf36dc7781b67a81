"""Questions whose page is known: titles, entries of the index, and paraphrases written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from e2e.eval.corpus import Page, entries

KINDS = ("title", "index", "paraphrase")


@dataclass(frozen=True)
class Question:
    """What is asked, and the page that answers it."""

    kind: str
    text: str
    page: str


def questions(root: Path, pages: Sequence[Page], each: int, random: Random) -> list[Question]:
    """Return at most so many of each kind, about these pages, drawn without repetition."""
    known = {page.name for page in pages}
    titles = [Question("title", page.title, page.name) for page in pages]
    places: dict[str, set[str]] = {}
    for entry, page in entries(root):
        places.setdefault(entry, set()).add(page)
    index = [
        Question("index", entry, next(iter(found)))
        for entry, found in sorted(places.items())
        if len(found) == 1 and found <= known
    ]
    asked = [Question("paraphrase", text, page) for text, page in PARAPHRASES if page in known]
    return [
        question for kind in (titles, index, asked) for question in random.sample(kind, min(each, len(kind)))
    ]


PARAPHRASES = (
    (
        "How do I run several coroutines at the same time and wait for all of them?",
        "library/asyncio-task.html",
    ),
    ("start a child program and read what it prints", "library/subprocess.html"),
    ("turn a nested structure into text that JavaScript can read", "library/json.html"),
    ("keep objects on disk and load them again later", "library/pickle.html"),
    ("match text against a pattern with wildcards and groups", "library/re.html"),
    ("walk through all files below a directory with object oriented paths", "library/pathlib.html"),
    ("measure how long a small piece of code takes", "library/timeit.html"),
    ("find out where my program spends its time", "library/profile.html"),
    ("parse options given on the command line", "library/argparse.html"),
    ("write messages with levels to a file and to the console", "library/logging.html"),
    ("replace parts of a system under test by stand-ins", "library/unittest.mock.html"),
    ("a queue that always gives the smallest item first", "library/heapq.html"),
    ("count how often each element occurs", "library/collections.html"),
    ("combine iterators, take slices of them, chain them", "library/itertools.html"),
    ("remember results of expensive function calls", "library/functools.html"),
    ("exact arithmetic for money without binary rounding", "library/decimal.html"),
    ("calculate with fractions such as one third", "library/fractions.html"),
    ("draw random numbers that nobody can guess", "library/secrets.html"),
    ("checksum of a file with SHA", "library/hashlib.html"),
    ("talk to a relational database in a single file", "library/sqlite3.html"),
    ("read rows separated by commas", "library/csv.html"),
    ("compress and unpack several files in one archive", "library/zipfile.html"),
    ("send mail through a server", "library/smtplib.html"),
    ("fetch a page from a web address", "library/urllib.request.html"),
    ("encrypt a socket connection with certificates", "library/ssl.html"),
    ("share work among processors with separate interpreters", "library/multiprocessing.html"),
    ("locks, events and semaphores between threads", "library/threading.html"),
    ("submit calls to a pool and get their results later", "library/concurrent.futures.html"),
    ("dates, times and time zones arithmetic", "library/datetime.html"),
    ("differences between two texts line by line", "library/difflib.html"),
    ("classes that only hold data, with generated init", "library/dataclasses.html"),
    ("a fixed set of named constants", "library/enum.html"),
    ("say which types a function takes and returns", "library/typing.html"),
    ("clean up resources automatically with a with statement of my own", "library/contextlib.html"),
    ("step through a program and look at variables when it fails", "library/pdb.html"),
    ("which modules and packages make up a namespace and how names are looked up", "tutorial/classes.html"),
    ("define functions with default values and keyword arguments", "tutorial/controlflow.html"),
    ("handle errors and raise my own", "tutorial/errors.html"),
    ("create an isolated set of installed packages", "tutorial/venv.html"),
    ("lists, sets, dictionaries and comprehensions for beginners", "tutorial/datastructures.html"),
    ("how attribute access is customised by get and set methods on classes", "howto/descriptor.html"),
    ("write functional style code with generators", "howto/functional.html"),
    ("characters, code points and encodings explained", "howto/unicode.html"),
    ("introduction to network programming with blocking and non blocking connections", "howto/sockets.html"),
    ("order a list by several keys", "howto/sorting.html"),
    ("write an extension module in C", "extending/extending.html"),
    ("embed the interpreter in another application", "extending/embedding.html"),
    ("reference counts of objects in C code", "c-api/refcounting.html"),
    ("grammar of expressions: operators, precedence and evaluation order", "reference/expressions.html"),
    ("how import finds and loads modules", "reference/import.html"),
)
