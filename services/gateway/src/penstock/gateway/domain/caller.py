"""Who calls."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant of a key, whether it is an operator's, and the beginning by which people know the key."""

    tenant: str
    operator: bool = False
    api_key: str = ""
