"""Every variable in the chart is a setting of the program that gets it, and has a value that it takes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic_settings import BaseSettings

from infra.helm.tests.chart import SETS, Pod, environment, needs_helm, objects, pods
from penstock.clients.models import ModelsFile
from penstock.devstack.settings import StackSettings
from penstock.gateway import settings as gateway
from penstock.generation.settings import Settings as Generation
from penstock.inference.settings import Settings as Inference
from penstock.ingestion import settings as ingestion
from penstock.messages.flows import SERVICES
from penstock.observer.settings import Settings as Observer
from penstock.retrieval.settings import Settings as Retrieval
from penstock.streaming.connection import ADMIN, KafkaAccess
from penstock.streaming.worker import WorkerSettings
from penstock.telemetry.setup import OBSERVER
from penstock.tokenization.settings import Settings as Tokenization

pytestmark = [needs_helm, pytest.mark.parametrize("values", SETS)]
PREFIX = "PENSTOCK_"
ELSEWHERE_READ = {OBSERVER, "PENSTOCK_INSTANCE", "PENSTOCK_API_KEY"}
"""By `set_up` in every program, and by the command's own options."""
SETTINGS: dict[str, type[BaseSettings]] = {
    "penstock": StackSettings,
    "penstock-gateway": gateway.Settings,
    "penstock-gateway-db": gateway.DatabaseSettings,
    "penstock-generation": Generation,
    "penstock-inference": Inference,
    "penstock-ingestion": ingestion.AppSettings,
    "penstock-ingestion-db": ingestion.DatabaseSettings,
    "penstock-ingestion-worker": ingestion.IngestionSettings,
    "penstock-observer": Observer,
    "penstock-postprocessing": WorkerSettings,
    "penstock-retrieval": Retrieval,
    "penstock-tokenization": Tokenization,
}
ELSEWHERE = {
    "PENSTOCK_ACCOUNTS_DB": "postgresql://someone:secret@db/accounts",
    "PENSTOCK_DOCUMENTS_DB": "postgresql://someone:secret@db/documents",
    "PENSTOCK_CELERY_BROKER": "redis://:secret@redis:6379/0",
    "PENSTOCK_QDRANT_API_KEY": "secret",
    "PENSTOCK_BACKEND_KEY": "secret",
    "PENSTOCK_EMBEDDINGS_KEY": "secret",
    "PENSTOCK_OBSERVER_KEY": "secret",
    "PENSTOCK_API_KEY": "secret",
    "PENSTOCK_INSTANCE": "penstock-x-0",
    "POD_INDEX": "1",
}
"""What Secrets and the pod itself say."""


def _ours(values: str, *more: str) -> Iterator[tuple[Pod, type[BaseSettings]]]:
    for pod in pods(objects(values, *more)):
        if "command" in pod.main:
            yield pod, SETTINGS[pod.main["command"][0]]


def _loaded(pod: Pod, kind: type[BaseSettings], monkeypatch: pytest.MonkeyPatch, files: Path) -> BaseSettings:
    """Return the settings as the program would read them."""
    (files / "kafka").mkdir(exist_ok=True)
    (files / "kafka-ca").mkdir(exist_ok=True)
    (files / "kafka/password").write_text("secret\n")
    (files / "kafka-ca/ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    known: dict[str, str] = {}
    with monkeypatch.context() as patched:
        for name, given in environment(pod.main).items():
            value = ELSEWHERE[name] if given is None and not name.startswith("AWS_") else given or ""
            value = re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], value)
            known[name] = value
            patched.setenv(name, value.replace("/etc/penstock", str(files)))
        return kind()


def test_every_variable_is_a_setting_of_its_program(values: str) -> None:
    for pod, kind in _ours(values):
        known = {f"{PREFIX}{field.upper()}" for field in kind.model_fields} | ELSEWHERE_READ
        given = {name for name in environment(pod.main) if name.startswith(PREFIX)}
        database_jobs = {"PENSTOCK_STATE"} if pod.is_job else set[str]()
        assert given - database_jobs <= known, pod.component


def test_every_value_is_taken(values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for pod, kind in _ours(values):
        settings = _loaded(pod, kind, monkeypatch, tmp_path)
        for name, given in environment(pod.main).items():
            field = name.removeprefix(PREFIX).lower()
            if given is not None and field in kind.model_fields and given.replace(".", "", 1).isdigit():
                assert float(getattr(settings, field)) == float(given)


def test_a_models_file_reaches_those_that_read_it(
    values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/models.toml").write_text('[[embeddings]]\nnames = ["mine"]\nrelevance_floor = 0.5\n')
    readers = set()
    for pod, kind in _ours(values, "--set", "modelsConfigMap=mine"):
        if issubclass(kind, ModelsFile):
            readers.add(pod.component)
            settings = _loaded(pod, kind, monkeypatch, tmp_path)
            assert isinstance(settings, ModelsFile)
            assert settings.models.embedding("mine")
            (volume,) = (one for one in pod.spec["volumes"] if one["name"] == "models")
            assert volume["configMap"]["name"] == "mine"
        else:
            assert "PENSTOCK_MODELS_FILE" not in environment(pod.main)
    assert readers == {"tokenization", "retrieval", "generation"}


def test_a_database_is_on_a_server(values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = 0
    for pod, kind in _ours(values):
        settings = _loaded(pod, kind, monkeypatch, tmp_path)
        for field in ("accounts_db", "documents_db"):
            if hasattr(settings, field):
                assert getattr(settings, field).startswith("postgresql")
                seen += 1
    assert seen == 5  # gateway, ingestion and its worker, and two jobs


def test_ports_are_named_and_open_to_the_pod_network(
    values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The services' own defaults are 127.0.0.1 and any free port."""
    for pod, kind in _ours(values):
        if pod.is_job:
            continue
        settings = _loaded(pod, kind, monkeypatch, tmp_path)
        served = {field for field in kind.model_fields if field.endswith(("_port", "_host"))}
        assert served
        assert {getattr(settings, field) for field in served if field.endswith("_host")} == {"0.0.0.0"}  # noqa: S104
        ports = {getattr(settings, field) for field in served if field.endswith("_port")}
        assert ports == set(pod.ports.values())


def test_each_service_is_a_user_of_its_own(
    values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    users: dict[str, str] = {}
    for pod, kind in _ours(values):
        settings = _loaded(pod, kind, monkeypatch, tmp_path)
        if isinstance(settings, KafkaAccess) and pod.hook != "test":
            reached = settings.reaching("any:9092")
            assert reached.sasl == (values == "managed-kafka")
            users[pod.component] = reached.user
            secrets = {one["secret"]["secretName"] for one in pod.spec["volumes"] if "secret" in one}
            if reached.sasl:
                assert reached.password.get_secret_value() == "secret"
                assert reached.ca is not None
                others = {f"penstock-kafka-{user}" for user in (*SERVICES, ADMIN) if user != reached.user}
                assert f"penstock-kafka-{reached.user}" in secrets
                assert not others & secrets
    jobs = {"topics", "acl"}
    assert set(users) >= {*SERVICES, "ingestion-worker", "topics"}
    if values == "managed-kafka":
        assert {name: user for name, user in users.items() if name not in jobs} == {
            **{service: service for service in SERVICES},
            "ingestion-worker": "ingestion",
        }
        assert {users[job] for job in jobs} == {ADMIN}


def test_retrievals_names_fit_its_rights(
    values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (pod,) = (pod for pod, _ in _ours(values) if pod.component == "retrieval")
    settings = _loaded(pod, Retrieval, monkeypatch, tmp_path)
    assert isinstance(settings, Retrieval)
    assert settings.instance == "retrieval-1"  # the groups that it may read begin with `retrieval`
    assert settings.announcer == "retrieval-0"
    assert settings.indexes == (values != "managed-kafka")


def test_no_secret_stands_in_what_is_rendered(values: str) -> None:
    found = objects(values)
    assert "Secret" not in {one["kind"] for one in found}
    secret = re.compile(r"KEY|PASSWORD|TOKEN|SECRET|_DB$|BROKER")
    for pod in pods(found):
        for name, value in environment(pod.main).items():
            if secret.search(name) and not name.endswith("_FILE"):
                assert value is None, name
            assert not re.search(r"://[^/]*@", value or ""), name


def test_variables_can_be_added_to_all_containers_and_to_one(values: str) -> None:
    proxy = {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}
    secret = {"name": "A_TOKEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    other = proxy | {"value": "http://other:3128"}
    to_all = ("--set-json", f"extraEnv={json.dumps([proxy, secret])}")
    to_one = ("--set-json", f"services.gateway.extraEnv={json.dumps([other])}")
    for pod in pods(objects(values, *to_all, *to_one)):
        added = other if pod.component == "gateway" else proxy
        assert [one for one in pod.main["env"] if one["name"] == "HTTPS_PROXY"] == [added]
        assert secret in pod.main["env"]
        environment(pod.main)  # no name twice


def test_more_settings_can_be_given(values: str, tmp_path: Path) -> None:
    """Numbers as they were written: in Helm all are floats."""
    given = {"PENSTOCK_MAX_BODY_BYTES": 50_000_000, "PENSTOCK_KEEP_ALIVE_S": 7.5, "PENSTOCK_MODEL_X": True}
    file = tmp_path / "more.yaml"
    file.write_text(yaml.safe_dump({"services": {"gateway": {"env": given}}}))
    (pod,) = (pod for pod, _ in _ours(values, "--values", str(file)) if pod.component == "gateway")
    env = environment(pod.main)
    assert [env[name] for name in given] == ["50000000", "7.5", "true"]
