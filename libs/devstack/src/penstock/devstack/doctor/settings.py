"""Settings: names that nothing reads, values that cannot be used or that are not in force."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence

from pydantic import ValidationError
from pydantic_settings import BaseSettings
from pydantic_settings.exceptions import SettingsError

import penstock
from penstock.devstack.doctor.finding import Finding, error, warning
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene
from penstock.devstack.errors import DevstackError
from penstock.devstack.settings import StackSettings
from penstock.devstack.stack import choose_addresses
from penstock.streaming.worker import WorkerSettings

PREFIX = "PENSTOCK_"
READ_DIRECTLY = frozenset({"PENSTOCK_API_KEY", "PENSTOCK_KAFKA_JARS", "PENSTOCK_OBSERVER"})
"""Variables that no settings class has."""
_FOR_TESTS = "PENSTOCK_TEST_"
_ALIKE = 0.75
_IN_STATUS = ("KAFKA", "BACKENDS", "EMBEDDINGS")


async def look(scene: Scene) -> list[Finding]:
    """Unknown and unusable variables, and those that the running stack was started without."""
    kinds = await in_thread(settings_classes)
    problems = await in_thread(_problems, kinds)
    return [
        *_unknown(scene.environ, known_names(kinds)),
        *(_unusable(name, message) for name, message in problems.items()),
        *(_not_in_force(scene) if scene.status else _refused_at_start(problems)),
    ]


def settings_classes() -> list[type[BaseSettings]]:
    """The settings of every member that is installed: what their modules ``settings`` hold."""
    kinds: list[type[BaseSettings]] = [StackSettings, WorkerSettings]
    for member in pkgutil.iter_modules(penstock.__path__):
        name = f"penstock.{member.name}.settings"
        if importlib.util.find_spec(name) is not None:
            found = vars(importlib.import_module(name)).values()
            kinds += [kind for kind in found if isinstance(kind, type) and issubclass(kind, BaseSettings)]
    return [kind for kind in dict.fromkeys(kinds) if kind is not BaseSettings]


def known_names(kinds: Collection[type[BaseSettings]]) -> set[str]:
    """The names of all variables that something reads."""
    return set(READ_DIRECTLY) | {PREFIX + name.upper() for kind in kinds for name in kind.model_fields}


def _unknown(environ: Mapping[str, str], known: Collection[str]) -> Iterator[Finding]:
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper.startswith(_FOR_TESTS) or upper in known:
            continue
        near = difflib.get_close_matches(upper, known, n=1, cutoff=_ALIKE)
        hint = f"Did you mean {near[0]}? If not, unset it." if near else "Unset it."
        yield warning(
            "settings.unknown", name, "Nothing reads a variable of this name: it has no effect.", hint
        )


def _problems(kinds: Sequence[type[BaseSettings]]) -> dict[str, str]:
    """What is wrong with the environment, by variable; each is told once, however many services read it."""
    problems: dict[str, str] = {}
    for kind in kinds:
        try:
            kind()
        except ValidationError as failure:
            for told in failure.errors(include_url=False, include_input=False, include_context=False):
                name = PREFIX + str(told["loc"][0]).upper() if told["loc"] else _service_of(kind)
                problems.setdefault(name, told["msg"].removeprefix("Value error, "))
        except SettingsError as failure:
            problems.setdefault(_service_of(kind), str(failure))
    return problems


def _service_of(kind: type[BaseSettings]) -> str:
    return f"settings of {kind.__module__.split('.')[1]}"


def _unusable(name: str, message: str) -> Finding:
    return error(
        "settings.unusable", name, f"Its value cannot be used: {message}.", f"Correct or unset {name}."
    )


def _refused_at_start(problems: Collection[str]) -> Iterator[Finding]:
    """What ``penstock up`` would refuse beyond that; a port that is taken is told elsewhere."""
    if problems:
        return
    try:
        choose_addresses(StackSettings().model_copy(update={"gateway_port": 0}))
    except DevstackError as refusal:
        yield error(
            "settings.unusable",
            "the addresses of a new stack",
            f"`penstock up` would refuse them: {refusal}.",
            "Change the variable that is named.",
        )


def _not_in_force(scene: Scene) -> Iterator[Finding]:
    status = scene.status
    if status is None:
        return
    in_force = dict(zip(_IN_STATUS, (status.kafka, status.backends, status.embeddings), strict=True))
    port = scene.given("GATEWAY_PORT")
    if port and port != "0":
        in_force["GATEWAY_PORT"] = status.gateway.rpartition(":")[2]
    for name, value in in_force.items():
        here = scene.given(name)
        if here is not None and here != value:
            yield warning(
                "settings.differ",
                PREFIX + name,
                f"It is {here} here, but the running stack was started with {value}.",
                "For the value here: `penstock down`, then `penstock up`. Else unset it.",
            )
