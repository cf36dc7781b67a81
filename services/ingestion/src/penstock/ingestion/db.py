"""Start of `penstock-ingestion-db`, which migrates the documents database: a job of its own (ADR 12)."""

from penstock.database.command import main as migrate
from penstock.ingestion.adapters.tables import SCHEMA
from penstock.ingestion.settings import DatabaseSettings
from penstock.streaming.settings import read_settings


def main() -> None:
    """Do what the arguments say (`--help`); exit codes: see `penstock.database.command`."""
    raise SystemExit(migrate(SCHEMA, read_settings(DatabaseSettings).database_url()))


if __name__ == "__main__":
    main()
