"""Tables of the accounts database. Changes go through `migrations/`."""

from datetime import datetime
from pathlib import Path

from sqlalchemy import DateTime, ForeignKey, MetaData, String, false
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from penstock.database.schema import Schema

# Constraints need names for a later migration to change them, SQLite's above all.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """All tables of the gateway."""

    metadata = MetaData(naming_convention=NAMES)


class TenantRow(Base):
    """Somebody who has keys, documents and a bill."""

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(String(256), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class KeyRow(Base):
    """An API key: `digest` is its hex SHA-256, `prefix` its first characters.

    An `operator` sees and does in the console what concerns all tenants.
    """

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(16))
    operator: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SessionRow(Base):
    """A session of the console: `digest` is its token's hex SHA-256."""

    __tablename__ = "console_sessions"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[int] = mapped_column(ForeignKey("api_keys.id"), index=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class IdempotencyRow(Base):
    """What a tenant's idempotency key stands for; `fingerprint` is the hex SHA-256 of the request."""

    __tablename__ = "idempotency_keys"

    tenant: Mapped[str] = mapped_column(String(256), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


SCHEMA = Schema(
    "accounts", "penstock-gateway-db", Base.metadata, Path(__file__).with_name("migrations") / "versions"
)
