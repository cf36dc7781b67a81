"""Where in the index a search looks."""

from typing import NamedTuple

from penstock.messages.search import DEFAULT_STORE, Filter, Search


class Scope(NamedTuple):
    """A tenant's stores (none named: all of them), and what attributes must be like."""

    tenant: str
    stores: tuple[str, ...] = ()
    filters: Filter | None = None

    @property
    def unfiltered(self) -> "Scope":
        """The same stores whatever the attributes."""
        return self._replace(filters=None)


def scope_of(tenant: str, search: Search) -> Scope:
    """Return where a tenant's search looks: in the stores it names, or the default one."""
    return Scope(tenant, search.stores or (DEFAULT_STORE,), search.filters)
