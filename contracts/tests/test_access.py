"""What Kafka allows each service is what asyncapi.yaml says that it does, and is in the docs."""

from pathlib import Path

from rendering.acls import table
from rendering.asyncapi import asyncapi

from penstock.messages.flows import FLOWS, SERVICES
from penstock.streaming.admin.access import all_grants, commands, grants

ROOT = Path(__file__).parents[2]


def operations(service: str, action: str) -> set[str]:
    """Addresses of the channels on which a service sends or receives, by the document."""
    return {
        operation["channel"]["$ref"].removeprefix("#/channels/")
        for operation in asyncapi()["operations"].values()
        if operation["tags"] == [{"name": service}] and operation["action"] == action
    }


def allowed(service: str, operation: str) -> set[str]:
    return {g.name for g in grants(service) if (g.kind, g.operation) == ("TOPIC", operation)}


def test_a_service_may_read_and_write_what_the_document_says_and_nothing_else() -> None:
    for service in SERVICES:
        if not FLOWS[service].operator:
            assert allowed(service, "READ") == operations(service, "receive")
            assert allowed(service, "WRITE") == operations(service, "send")
            assert allowed(service, "DELETE") == allowed(service, "DESCRIBE") == set()


def test_an_operator_reads_no_documents_and_deletes_only_dead_letters() -> None:
    (operator,) = (service for service in SERVICES if FLOWS[service].operator)
    reads, deletes = allowed(operator, "READ"), allowed(operator, "DELETE")
    assert operations(operator, "receive") <= reads
    assert not {name for name in reads if name.startswith("documents.") and not name.endswith(".dlq")}
    assert deletes
    assert all(name.endswith(".dlq") for name in deletes)
    assert {name for name in allowed(operator, "WRITE") if not name.endswith(".dlq")} == {
        name.removesuffix(".dlq") for name in deletes
    }


def test_groups_begin_with_the_name_of_their_service() -> None:
    for service in SERVICES:
        groups = [g for g in grants(service) if g.kind == "GROUP"]
        if FLOWS[service].handled:
            assert [(g.operation, g.name, g.prefixed) for g in groups] == [("READ", service, True)]


def test_every_grant_is_in_the_commands() -> None:
    text = "\n".join(commands(all_grants(), "broker:9092"))
    for grant in all_grants():
        option = f"--{grant.kind.lower()} '{grant.name}'"
        assert any(
            f"User:{grant.user} " in line
            and f"--operation {grant.operation.capitalize()} " in line
            and option in line
            for line in text.splitlines()
        )


def test_the_table_in_the_docs_is_the_one_in_the_code() -> None:
    assert table() in (ROOT / "docs" / "kafka-security.md").read_text("utf-8")


def test_every_service_with_kafka_has_a_row() -> None:
    with_kafka = {
        folder.name
        for folder in (ROOT / "services").iterdir()
        if any("penstock.streaming" in file.read_text("utf-8") for file in (folder / "src").rglob("*.py"))
    }
    assert with_kafka - {"inference"} == set(SERVICES)
