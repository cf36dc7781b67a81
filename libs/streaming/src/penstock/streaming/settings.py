"""Reading settings, once, in a main; without Kafka's client, which jobs such as migrations do without."""

import sys
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def read_settings(kind: type[SettingsT]) -> SettingsT:
    """Return the settings from the environment; a wrong one is told in one line, and exits with code 2."""
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors():
            name = "".join(f"PENSTOCK_{str(part).upper()} is not usable: " for part in problem["loc"][:1])
            sys.stderr.write(f"{name}{problem['msg']}\n")
        raise SystemExit(2) from None
