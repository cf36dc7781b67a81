"""Who looks, and what they may see: the one rule that all views go by."""

from typing import NamedTuple

from penstock.observer.domain.errors import operators_only


class Viewer(NamedTuple):
    """A caller, as the gateway has made sure of: a tenant, or an operator of the whole installation.

    An operator sees all tenants, or only the one that was asked for (`only`).
    """

    tenant: str
    operator: bool = False
    only: str = ""

    def sees(self, tenant: str) -> bool:
        """Return whether what belongs to `tenant` may be shown. "" is nobody's: operators see it."""
        if self.operator:
            return self.only in ("", tenant)
        return tenant != "" and tenant == self.tenant

    def require_operator(self) -> None:
        """Raise ApiError 403 for a tenant."""
        if not self.operator:
            raise operators_only()
