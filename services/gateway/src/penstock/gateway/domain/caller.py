"""Who calls."""

from dataclasses import dataclass

from penstock.gateway.domain import errors


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant of a key, whether it is an operator's, and the beginning by which people know the key."""

    tenant: str
    operator: bool = False
    api_key: str = ""


def tenant_header(tenant: str) -> tuple[bytes, bytes]:
    """Return the header that tells another service whose request it is. Raises ApiError 500."""
    if not (tenant.isascii() and tenant.isprintable() and tenant == tenant.strip()):
        raise errors.unusable_tenant()
    return b"x-penstock-tenant", tenant.encode()
